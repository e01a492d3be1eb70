//! Whether a request has left this machine.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http_body::{Frame, SizeHint};

/// Whether a request has begun to leave this machine: false is certain, true may mean its first byte only.
#[derive(Clone, Debug, Default)]
pub struct Departure(Arc<AtomicBool>);

impl Departure {
    /// True from the moment at which the request's body is asked for to be written, which is before its first byte is.
    pub fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The same body, which notes when it is asked for.
    pub(super) fn noted_by(&self, inner: reqwest::Body) -> reqwest::Body {
        reqwest::Body::wrap(Watched { inner, departure: self.clone() })
    }
}

/// A body that notes when it is asked for. The head of a request goes out with, or before, its body: hyper asks for the body
/// before it flushes the head (HTTP/1), and a head whose body never came is no request (HTTP/2).
struct Watched {
    inner: reqwest::Body,
    departure: Departure,
}

impl http_body::Body for Watched {
    type Data = <reqwest::Body as http_body::Body>::Data;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.departure.note();
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
