//! An image on its way into a store. It is seen there whole or not at all, nothing that is there already is written over, and it counts
//! as copied when what was read back has the same length and the same hash.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use image_gen_engine::egress::Destination;
use image_gen_engine::http::driver::Driver;
use image_gen_engine::http::{MAX_PICTURE_BYTES, origin};
use image_gen_engine::picture::{self, Facts, Flaw};
use object_store::{
    Attribute, Attributes, MultipartUpload, ObjectStore as _, ObjectStoreExt as _, PutMultipartOptions,
    PutOptions, PutPayload,
};
use sha2::{Digest as _, Sha256};

use crate::address::Kind;
use crate::name::with_hash;
use crate::store::Store;

/// What is in memory of an image on its way, at most twice; S3 takes no part below 5 MB but the last.
const PART: usize = 6 << 20;
/// Between two pieces of a download.
const TO_NEXT_PIECE: Duration = Duration::from_secs(30);
/// How many redirects of an image are followed, as when it is made.
const REDIRECTS: u32 = 3;

/// An image that is in a store now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// Its length.
    pub byte_size: u64,
    /// It was there before.
    pub was_there: bool,
}

/// Why there is no copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// Where it was is nothing any more, or nothing that may be had: what the other side said.
    Gone(String),
    /// It could not be had this time.
    Source(String),
    /// What came is not what was made.
    Different(String),
    /// Another object has this name.
    NameTaken,
    /// The store did not take it.
    Store(String),
}

impl Failed {
    /// For people.
    pub fn message(&self) -> String {
        match self {
            Failed::Gone(why) | Failed::Source(why) => format!("the image cannot be had: {why}"),
            Failed::Different(why) => why.clone(),
            Failed::NameTaken => "another object has its name".into(),
            Failed::Store(why) => format!("the store: {why}"),
        }
    }
}

/// Where the bytes of an image come from.
#[derive(Debug)]
pub enum Source {
    /// They are here.
    Bytes(Bytes),
    /// A provider has them.
    Response(Box<reqwest::Response>),
}

impl Source {
    /// Begins to download an image. One at `provider`'s own server is let through by what lets through calls of it.
    pub async fn download(driver: &Driver, url: &str, provider: Option<&str>) -> Result<Source, Failed> {
        let provider = provider.and_then(origin);
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            let at_provider = provider.is_some() && origin(&url) == provider;
            let destination = if at_provider { Destination::Provider } else { Destination::Image };
            let client = driver.client(destination, &url).map_err(Failed::Source)?;
            let asked = tokio::time::timeout(Duration::from_secs(60), client.get(&url).send()).await;
            // Not the URL: it can be signed.
            let answer = asked
                .map_err(|_| Failed::Source("no answer within 60 s".into()))?
                .map_err(|e| Failed::Source(cause(&e.without_url())))?;
            let status = answer.status();
            if status.is_success() {
                if answer.content_length().is_some_and(|length| length > MAX_PICTURE_BYTES as u64) {
                    return Err(Failed::Gone("it is larger than 64 MB".into()));
                }
                return Ok(Source::Response(Box::new(answer)));
            }
            if !status.is_redirection() {
                let said = format!("HTTP {}", status.as_u16());
                let gone = matches!(status.as_u16(), 401 | 403 | 404 | 410);
                return Err(if gone { Failed::Gone(said) } else { Failed::Source(said) });
            }
            let location = answer.headers().get("location").and_then(|to| to.to_str().ok());
            let next = location.and_then(|to| url::Url::parse(&url).ok()?.join(to).ok());
            url = next.ok_or_else(|| Failed::Source("it has moved nowhere".into()))?.into();
        }
        Err(Failed::Source("it moves on and on".into()))
    }

    /// All of an image that was never looked at, and what it is.
    pub async fn whole(mut self) -> Result<(Source, Facts), Failed> {
        let mut bytes = vec![];
        while let Some(piece) = self.next().await? {
            if bytes.len() + piece.len() > MAX_PICTURE_BYTES {
                return Err(Failed::Gone("it is larger than 64 MB".into()));
            }
            bytes.extend_from_slice(&piece);
        }
        let looked = tokio::task::spawn_blocking(move || {
            let facts = match picture::inspect(&bytes) {
                Err(flaw @ (Flaw::TooLarge { .. } | Flaw::Foreign(_))) => {
                    Facts::unmeasured(&bytes).ok_or(flaw)
                }
                result => result,
            };
            facts.map(|facts| (Source::Bytes(bytes.into()), facts))
        });
        let looked = looked.await.map_err(|why| Failed::Source(why.to_string()))?;
        looked.map_err(|flaw| Failed::Source(format!("what its URL leads to is no image: {flaw}")))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        match self {
            Source::Bytes(bytes) if bytes.is_empty() => Ok(None),
            Source::Bytes(bytes) => Ok(Some(bytes.split_to(bytes.len().min(PART)))),
            Source::Response(answer) => match tokio::time::timeout(TO_NEXT_PIECE, answer.chunk()).await {
                Ok(Ok(piece)) => Ok(piece),
                Ok(Err(why)) => Err(Failed::Source(cause(&why.without_url()))),
                Err(_) => Err(Failed::Source("it stopped on its way".into())),
            },
        }
    }
}

impl Store {
    /// Copies the image with this hash to a name, or beside it where another object has that; unless it is there already. Returns
    /// what it is called.
    pub async fn copy(
        &self,
        name: &str,
        content_type: Option<&str>,
        sha256: &str,
        source: Source,
    ) -> Result<(String, Copied), Failed> {
        for name in [name.to_owned(), with_hash(name, sha256)] {
            match self.find(&name).await? {
                Some(there) if there.sha256 == sha256 => return Ok((name, there)),
                // What is there stays.
                Some(_) => {}
                None => {
                    let copied = self.bring(&name, content_type, sha256, source).await?;
                    return Ok((name, copied));
                }
            }
        }
        Err(Failed::NameTaken)
    }

    async fn bring(
        &self,
        name: &str,
        content_type: Option<&str>,
        sha256: &str,
        source: Source,
    ) -> Result<Copied, Failed> {
        let sent = self.send(name, content_type, sha256, source).await?;
        let arrived = self.find(name).await?;
        if arrived.is_none_or(|there| (&there.sha256, there.byte_size) != (&sent.sha256, sent.byte_size)) {
            // It is ours, and it is wrong.
            let _ = self.objects.delete(&self.path(name)).await;
            return Err(Failed::Store("what was read back is not what was written".into()));
        }
        Ok(sent)
    }

    /// All bytes of an object, at most so many.
    pub async fn read(&self, name: &str, most: u64) -> Result<Vec<u8>, Failed> {
        let answer = self.objects.get(&self.path(name)).await.map_err(|why| from_store(&why))?;
        if answer.meta.size > most {
            return Err(Failed::Store(format!("the object has {} bytes", answer.meta.size)));
        }
        let (mut pieces, mut bytes) = (answer.into_stream(), vec![]);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|why| from_store(&why))?;
            if bytes.len() as u64 + piece.len() as u64 > most {
                return Err(Failed::Store("the object is longer than it says".into()));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// The image with this hash.
    pub async fn read_image(&self, name: &str, sha256: &str) -> Result<Vec<u8>, Failed> {
        let bytes = self.read(name, MAX_PICTURE_BYTES as u64).await?;
        match hex(Sha256::new_with_prefix(&bytes)) == sha256 {
            true => Ok(bytes),
            false => Err(Failed::Different(format!("{name} is another image than the one that was stored"))),
        }
    }

    /// Removes an object; that it is not there is as good.
    pub async fn delete(&self, name: &str) -> Result<(), Failed> {
        match self.objects.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(why) => Err(from_store(&why)),
        }
    }

    /// Objects after a name, in the order of their names, at most so many: name, length, and when it was written, in seconds since
    /// 1970.
    pub async fn list(&self, after: &str, most: usize) -> Result<Vec<(String, u64, i64)>, Failed> {
        let whole = self.address.whole("");
        let prefix = (!whole.is_empty()).then(|| object_store::path::Path::from(whole.trim_end_matches('/')));
        let mut all = match after.is_empty() {
            true => self.objects.list(prefix.as_ref()),
            false => self.objects.list_with_offset(prefix.as_ref(), &self.path(after)),
        };
        // A folder has no order of its own.
        let unordered = self.address.kind == Kind::File;
        let mut found = vec![];
        while (found.len() < most || unordered)
            && let Some(object) = all.next().await
        {
            let object = object.map_err(|why| from_store(&why))?;
            let location = object.location.as_ref();
            let name = location.strip_prefix(&whole).unwrap_or(location).to_owned();
            found.push((name, object.size, object.last_modified.timestamp()));
        }
        found.sort();
        found.truncate(most);
        Ok(found)
    }

    /// Length and hash of an object, if it is there: read to its end, and kept nowhere. Not a HEAD: its answer has no place for what is
    /// wrong with a request.
    pub async fn find(&self, name: &str) -> Result<Option<Copied>, Failed> {
        let answer = match self.objects.get(&self.path(name)).await {
            Ok(answer) => answer,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(why) => return Err(from_store(&why)),
        };
        let (mut pieces, mut hash, mut byte_size) = (answer.into_stream(), Sha256::new(), 0);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|why| from_store(&why))?;
            hash.update(&piece);
            byte_size += piece.len() as u64;
        }
        Ok(Some(Copied { sha256: hex(hash), byte_size, was_there: true }))
    }

    async fn send(
        &self,
        name: &str,
        content_type: Option<&str>,
        sha256: &str,
        mut source: Source,
    ) -> Result<Copied, Failed> {
        let attributes = self.attributes(content_type);
        let (mut hash, mut byte_size) = (Sha256::new(), 0_u64);
        let (mut part, mut upload): (Vec<u8>, Option<Upload>) = (vec![], None);
        let ended = loop {
            let piece = match source.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break Ok(()),
                Err(why) => break Err(why),
            };
            hash.update(&piece);
            byte_size += piece.len() as u64;
            if byte_size > MAX_PICTURE_BYTES as u64 {
                break Err(Failed::Gone("it is larger than 64 MB".into()));
            }
            part.extend_from_slice(&piece);
            if part.len() >= PART
                && let Err(why) =
                    self.send_part(name, &attributes, &mut upload, std::mem::take(&mut part)).await
            {
                break Err(why);
            }
        };
        let sent = Copied { sha256: hex(hash), byte_size, was_there: false };
        let checked = ended.and_then(|()| check(&sent, sha256));
        let Some(Upload(mut parts)) = upload else {
            checked?;
            let options = PutOptions { attributes, ..PutOptions::default() };
            let put = self.objects.put_opts(&self.path(name), PutPayload::from(part), options).await;
            return put.map(|_| sent).map_err(|why| from_store(&why));
        };
        let mut done = checked;
        if done.is_ok() && !part.is_empty() {
            done = parts.put_part(PutPayload::from(part)).await.map_err(|why| from_store(&why));
        }
        if done.is_ok() {
            done = parts.complete().await.map(drop).map_err(|why| from_store(&why));
        }
        if done.is_err() {
            // What is left of it is seen nowhere, and is removed by the rules of the bucket where this fails, too.
            let _ = parts.abort().await;
        }
        done.map(|()| sent)
    }

    async fn send_part(
        &self,
        name: &str,
        attributes: &Attributes,
        upload: &mut Option<Upload>,
        part: Vec<u8>,
    ) -> Result<(), Failed> {
        let Upload(parts) = match upload {
            Some(upload) => upload,
            None => {
                let options =
                    PutMultipartOptions { attributes: attributes.clone(), ..PutMultipartOptions::default() };
                let begun = self.objects.put_multipart_opts(&self.path(name), options).await;
                upload.insert(Upload(begun.map_err(|why| from_store(&why))?))
            }
        };
        parts.put_part(PutPayload::from(part)).await.map_err(|why| from_store(&why))
    }

    /// What a browser is told of it. A file has nothing but its name.
    fn attributes(&self, content_type: Option<&str>) -> Attributes {
        let mut attributes = Attributes::new();
        if let Some(content_type) = content_type.filter(|_| self.address.kind != Kind::File) {
            attributes.insert(Attribute::ContentType, content_type.to_owned().into());
        }
        attributes
    }
}

struct Upload(Box<dyn MultipartUpload>);

/// What came is what was made.
fn check(sent: &Copied, sha256: &str) -> Result<(), Failed> {
    if sent.sha256 == sha256 {
        return Ok(());
    }
    Err(Failed::Different(format!(
        "what its URL leads to is not the image that was made ({} bytes)",
        sent.byte_size
    )))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a store says can be as long as it likes.
fn from_store(why: &object_store::Error) -> Failed {
    let text = why.to_string();
    Failed::Store(text.chars().take(600).collect())
}

/// An error with its causes.
fn cause(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        text = error.to_string();
        next = error.source();
    }
    text
}
