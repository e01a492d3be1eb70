//! Where a store is: a URL without any key in it.

use std::fmt;

use url::Url;

/// What speaks which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Amazon S3, and all that speak its protocol: R2, Garage, MinIO, Ceph.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
    /// A folder of the server.
    File,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::S3, Kind::Google, Kind::Azure, Kind::File];

    fn scheme(self) -> &'static str {
        match self {
            Kind::S3 => "s3",
            Kind::Google => "gs",
            Kind::Azure => "az",
            Kind::File => "file",
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Kind::S3 => &["endpoint", "region", "style", "keys"],
            Kind::Google => &["endpoint", "keys"],
            Kind::Azure => &["account", "endpoint", "keys"],
            Kind::File => &[],
        }
    }

    /// What the names of its keys begin with, where the address does not say it.
    fn keys(self) -> &'static str {
        match self {
            Kind::S3 => "AWS",
            Kind::Google => "GOOGLE",
            Kind::Azure => "AZURE",
            Kind::File => "",
        }
    }
}

/// The address of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Which protocol.
    pub kind: Kind,
    /// The bucket or container; empty for a folder of the server.
    pub bucket: String,
    /// What every name begins with, without slashes at its ends; of a folder of the server, its absolute path.
    pub folder: String,
    /// Where it listens, where that does not follow from the kind.
    pub endpoint: Option<String>,
    /// Of S3.
    pub region: String,
    /// Of Azure.
    pub account: Option<String>,
    /// The bucket is part of the host's name, not of the path.
    pub virtual_hosted: bool,
    /// What the names of its keys begin with.
    pub keys: String,
}

const EXAMPLE: &str = "write for example s3://bucket/folder?region=eu-central-1, gs://bucket, az://container?account=name or file:///folder";

impl Address {
    /// Reads `s3://bucket/folder?endpoint=…&region=…&style=virtual&keys=…`, `gs://bucket/folder?keys=…`,
    /// `az://container/folder?account=…&keys=…` or `file:///folder`. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text.trim()).map_err(|_| format!("it is not a URL: {EXAMPLE}"))?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.scheme() == url.scheme());
        let kind = kind.ok_or_else(|| format!("{}:// is no store: {EXAMPLE}", url.scheme()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a key is no part of it: keys are in image_gen.secrets_file".into());
        }
        if url.fragment().is_some() || url.port().is_some() {
            return Err(format!("it has a port or a #: {EXAMPLE}"));
        }
        let bucket = url.host_str().unwrap_or_default().to_owned();
        let folder = match kind {
            Kind::File => folder_of_server(&url, &bucket)?,
            _ => {
                if !is_word(&bucket, 63) || bucket.len() < 3 {
                    return Err("the name of a bucket has 3 to 63 letters, digits, dots, dashes or _".into());
                }
                let folder = url.path().trim_matches('/').to_owned();
                if folder.len() > 200
                    || !folder.is_empty() && !folder.split('/').all(|part| is_word(part, 200))
                {
                    return Err("its folders have letters, digits, dots, dashes and _, 200 in all".into());
                }
                folder
            }
        };
        let mut address = Address {
            kind,
            bucket,
            folder,
            endpoint: None,
            region: "us-east-1".into(),
            account: None,
            virtual_hosted: false,
            keys: kind.keys().into(),
        };
        for (name, value) in url.query_pairs() {
            if !kind.options().contains(&name.as_ref()) {
                let known = match kind.options() {
                    [] => "it takes none".to_owned(),
                    all => format!("it takes {}", all.join(", ")),
                };
                return Err(format!("{}:// takes no option {name}: {known}", kind.scheme()));
            }
            address.set(&name, &value)?;
        }
        if kind == Kind::Azure && address.account.is_none() {
            return Err("az:// needs the storage account: az://container?account=name".into());
        }
        Ok(address)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "endpoint" => {
                let origin = image_gen_engine::http::origin(value);
                let bare = Url::parse(value).is_ok_and(|url| url.path() == "/" && url.query().is_none());
                if origin.is_none() || !bare {
                    return Err("endpoint is not like https://host:port".into());
                }
                self.endpoint = Some(value.trim_end_matches('/').to_owned());
            }
            "style" => {
                self.virtual_hosted = match value {
                    "virtual" => true,
                    "path" => false,
                    _ => return Err("style is path or virtual".into()),
                }
            }
            _ if !is_word(value, 100) => {
                return Err(format!("{name} has letters, digits, dots, dashes and _ only"));
            }
            "region" => self.region = value.to_owned(),
            "account" => self.account = Some(value.to_owned()),
            _ => self.keys = value.to_owned(),
        }
        Ok(())
    }

    /// What tells one store from another: the same for all ways to open it.
    pub fn identity(&self) -> String {
        let place = match (&self.endpoint, &self.account) {
            (Some(endpoint), _) => format!("?endpoint={endpoint}"),
            (None, Some(account)) => format!("?account={account}"),
            (None, None) => String::new(),
        };
        format!("{}{place}", self.url(""))
    }

    /// What an object is called in all of the store.
    pub fn whole(&self, name: &str) -> String {
        if self.kind == Kind::File || self.folder.is_empty() {
            return name.to_owned();
        }
        format!("{}/{name}", self.folder)
    }

    /// Where an object is, for people and programs that know the store.
    pub fn url(&self, name: &str) -> String {
        match self.kind {
            Kind::File => format!("file://{}/{name}", self.folder.trim_end_matches('/')),
            kind => format!("{}://{}/{}", kind.scheme(), self.bucket, self.whole(name)),
        }
    }

    /// A text without the address of one's own server, which is no affair of those who look at an image.
    pub fn without_endpoint(&self, text: &str) -> String {
        let Some(endpoint) = &self.endpoint else { return text.to_owned() };
        let bare = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, bare)| bare);
        text.replace(endpoint.as_str(), "").replace(bare, "its server")
    }

    /// The names of the keys that it needs.
    pub fn key_names(&self) -> Vec<String> {
        let ends: &[&str] = match self.kind {
            Kind::S3 => &["ACCESS_KEY_ID", "SECRET_ACCESS_KEY"],
            Kind::Google => &["SERVICE_ACCOUNT_KEY"],
            Kind::Azure => &["STORAGE_ACCESS_KEY"],
            Kind::File => &[],
        };
        ends.iter().map(|end| format!("{}_{end}", self.keys)).collect()
    }
}

impl fmt::Display for Address {
    /// As [`Address::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = vec![];
        options.extend(self.endpoint.iter().map(|endpoint| format!("endpoint={endpoint}")));
        options.extend(self.account.iter().map(|account| format!("account={account}")));
        if self.kind == Kind::S3 {
            options.push(format!("region={}", self.region));
        }
        if self.virtual_hosted {
            options.push("style=virtual".into());
        }
        if self.keys != self.kind.keys() {
            options.push(format!("keys={}", self.keys));
        }
        let mark = if options.is_empty() { "" } else { "?" };
        write!(f, "{}{mark}{}", self.url("").trim_end_matches('/'), options.join("&"))
    }
}

fn folder_of_server(url: &Url, host: &str) -> Result<String, String> {
    let path =
        url.to_file_path().map_err(|()| "file:// needs an absolute path: file:///folder".to_owned())?;
    let path = path.to_str().ok_or("the path is not UTF-8")?.trim_end_matches('/').to_owned();
    if !host.is_empty() || path.is_empty() {
        return Err("file:// needs the absolute path of a folder: file:///folder".into());
    }
    Ok(path)
}

fn is_word(text: &str, most: usize) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !text.is_empty() && text.len() <= most && text.bytes().all(fine) && text.bytes().any(|b| b != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_and_never_holds_a_key() {
        let r2 = Address::parse(
            "s3://ads/live/2026?endpoint=https://acc.r2.cloudflarestorage.com&region=auto&keys=R2",
        );
        let r2 = r2.unwrap();
        assert_eq!(
            (r2.bucket.as_str(), r2.folder.as_str(), r2.region.as_str()),
            ("ads", "live/2026", "auto")
        );
        assert_eq!(r2.key_names(), ["R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY"]);
        assert_eq!(r2.url("a/b.png"), "s3://ads/live/2026/a/b.png");
        assert_eq!(Address::parse(&r2.to_string()), Ok(r2.clone()));
        let local = Address::parse("file:///srv/images/").unwrap();
        assert_eq!(
            (local.folder.as_str(), local.url("a.png")),
            ("/srv/images", "file:///srv/images/a.png".into())
        );
        assert_eq!(Address::parse(&local.to_string()), Ok(local));
        let azure = Address::parse("az://images?account=shop").unwrap();
        assert_eq!(azure.identity(), "az://images/?account=shop");
        // Another way to the same store is the same store.
        let other = Address::parse(
            "s3://ads/live/2026?endpoint=https://acc.r2.cloudflarestorage.com/&region=eu&keys=X",
        )
        .unwrap();
        assert_eq!(other.identity(), r2.identity());
        for (wrong, why) in [
            ("bucket", "not a URL"),
            ("ftp://bucket", "ftp:// is no store"),
            ("s3://key:secret@bucket", "a key is no part of it"),
            ("s3://", "3 to 63"),
            ("s3://bucket?acl=public", "takes no option acl"),
            ("s3://bucket?endpoint=host:9000", "endpoint is not like"),
            ("s3://bucket?endpoint=https://a:b@host", "endpoint is not like"),
            ("s3://bucket/a%20b", "its folders"),
            ("s3://bucket/%2e%2e/x?region=a b", "region has letters"),
            ("az://images", "needs the storage account"),
            ("file://host/folder", "file://"),
            ("file:///", "absolute path"),
            ("gs://bucket?region=eu", "takes no option region"),
        ] {
            let said = Address::parse(wrong).unwrap_err();
            assert!(said.contains(why), "{wrong}: {said}");
        }
    }
}
