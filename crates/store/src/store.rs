//! A store that is open. All its requests go through the same egress filter as those to providers: an address that is not public
//! must be in `image_gen.allowed_provider_hosts`, and the metadata service of a cloud is never asked for anything.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use image_gen_engine::egress::Destination;
use image_gen_engine::http::driver::Driver;
use image_gen_engine::secret::Key;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::signer::{Method, Signer};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use crate::address::{Address, Kind};

/// Until the first byte of an answer.
const TO_ANSWER: Duration = Duration::from_secs(60);

/// A store that is open.
#[derive(Clone)]
pub struct Store {
    /// Where it is.
    pub address: Address,
    pub(crate) objects: Arc<dyn ObjectStore>,
    signer: Option<Arc<dyn Signer>>,
}

impl Store {
    /// Opens a store with the keys of these names. Nothing is asked of it yet.
    pub fn open(
        address: &Address,
        key: impl Fn(&str) -> Option<Key>,
        driver: &Driver,
    ) -> Result<Store, String> {
        let mut keys = vec![];
        for name in address.key_names() {
            keys.push(key(&name).ok_or_else(|| format!("there is no key {name}"))?);
        }
        driver.redact(driver.redactor().with(keys.iter().cloned()));
        let shown: Vec<&str> = keys.iter().map(Key::reveal).collect();
        // A redirect, or a region of another name, cannot take these elsewhere: requests are signed for one host.
        let (objects, signer) = build(address, &shown, key, driver).map_err(|why| why.to_string())?;
        Ok(Store { address: address.clone(), objects, signer })
    }

    /// A URL with which anyone can read an object for a while.
    pub async fn sign(&self, name: &str, lasts: Duration) -> Result<String, String> {
        let signer =
            self.signer.as_ref().ok_or("a folder of the server has no URLs that can be given away")?;
        let signed = signer.signed_url(Method::GET, &self.path(name), lasts).await;
        signed.map(String::from).map_err(|why| why.to_string())
    }

    pub(crate) fn path(&self, name: &str) -> Path {
        Path::from(self.address.whole(name))
    }
}

impl fmt::Debug for Store {
    /// Where it is, and no key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.address)
    }
}

type Opened = (Arc<dyn ObjectStore>, Option<Arc<dyn Signer>>);

fn build(
    address: &Address,
    keys: &[&str],
    key: impl Fn(&str) -> Option<Key>,
    driver: &Driver,
) -> object_store::Result<Opened> {
    let guarded = Guarded(driver.clone());
    let plain = address.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    // The queue of copies tries again for as long as it takes.
    let retry = RetryConfig {
        backoff: BackoffConfig { init_backoff: Duration::from_millis(200), ..BackoffConfig::default() },
        max_retries: 2,
        retry_timeout: Duration::from_secs(20),
    };
    let options = ClientOptions::new().with_allow_http(plain);
    let first = keys.first().copied().unwrap_or_default();
    match address.kind {
        Kind::S3 => {
            let mut builder = AmazonS3Builder::new()
                .with_bucket_name(&address.bucket)
                .with_region(&address.region)
                .with_access_key_id(first)
                .with_secret_access_key(keys.get(1).copied().unwrap_or_default())
                .with_virtual_hosted_style_request(address.virtual_hosted)
                .with_client_options(options)
                .with_retry(retry)
                .with_http_connector(guarded);
            if let Some(endpoint) = &address.endpoint {
                builder = builder.with_endpoint(endpoint).with_allow_http(plain);
            }
            if let Some(token) = key(&format!("{}_SESSION_TOKEN", address.keys)) {
                builder = builder.with_token(token.reveal());
            }
            let store = Arc::new(builder.build()?);
            Ok((store.clone(), Some(store)))
        }
        Kind::Google => {
            let mut builder = GoogleCloudStorageBuilder::new()
                .with_bucket_name(&address.bucket)
                .with_service_account_key(first)
                .with_client_options(options)
                .with_retry(retry)
                .with_http_connector(guarded);
            if let Some(endpoint) = &address.endpoint {
                builder = builder.with_base_url(endpoint);
            }
            let store = Arc::new(builder.build()?);
            Ok((store.clone(), Some(store)))
        }
        Kind::Azure => {
            let mut builder = MicrosoftAzureBuilder::new()
                .with_container_name(&address.bucket)
                .with_account(address.account.as_deref().unwrap_or_default())
                .with_access_key(first)
                .with_client_options(options)
                .with_retry(retry)
                .with_http_connector(guarded);
            if let Some(endpoint) = &address.endpoint {
                builder = builder.with_endpoint(endpoint.clone()).with_allow_http(plain);
            }
            let store = Arc::new(builder.build()?);
            Ok((store.clone(), Some(store)))
        }
        // What is said to be there is on the disk.
        Kind::File => {
            Ok((Arc::new(LocalFileSystem::new_with_prefix(&address.folder)?.with_fsync(true)), None))
        }
    }
}

/// Our own HTTP client in the place of the library's: no proxy, no redirects, and each address is looked at where it is connected to.
#[derive(Clone)]
struct Guarded(Driver);

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guarded")
    }
}

impl HttpConnector for Guarded {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Guarded {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // As a provider's: an administrator has written it into a setting.
        let client = self.0.client(Destination::Provider, &request.uri().to_string());
        let client =
            client.map_err(|why| HttpError::new(HttpErrorKind::Unknown, std::io::Error::other(why)))?;
        match tokio::time::timeout(TO_ANSWER, HttpService::call(&client, request)).await {
            Ok(answer) => answer,
            Err(late) => Err(HttpError::new(HttpErrorKind::Timeout, late)),
        }
    }
}
