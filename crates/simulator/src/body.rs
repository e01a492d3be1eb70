//! Bodies of answers, the broken ones included.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// Makes the next part of a body, as long as there is one.
pub(crate) type Pull = Box<dyn FnMut() -> Option<Bytes> + Send>;

/// A response body.
pub(crate) enum Body {
    /// At once, of known length.
    Full(Option<Bytes>),
    /// Part by part, of unknown length.
    Pull(Pull),
    /// Part by part with a pause before each; may end too early.
    Paced(Paced),
}

/// A body that takes its time.
pub(crate) struct Paced {
    parts: VecDeque<Bytes>,
    /// What the headers promise.
    promised: u64,
    pause: Duration,
    sleep: Pin<Box<Sleep>>,
    breaks: bool,
}

impl Body {
    /// All of `bytes`, in about `seconds`.
    pub(crate) fn slow(bytes: &Bytes, time: Duration) -> Self {
        let count = bytes.len().clamp(1, 20);
        let size = bytes.len().div_ceil(count).max(1);
        let parts: VecDeque<_> = bytes.chunks(size).map(|part| bytes.slice_ref(part)).collect();
        let pause = time / u32::try_from(parts.len().max(1)).unwrap_or(u32::MAX);
        Self::Paced(Paced {
            parts,
            promised: bytes.len() as u64,
            pause,
            sleep: Box::pin(sleep(pause)),
            breaks: false,
        })
    }

    /// Half of `bytes`, then the connection breaks.
    pub(crate) fn half(bytes: &Bytes) -> Self {
        // The pause lets the first half reach the wire before the connection is torn down.
        let pause = Duration::from_millis(20);
        let parts = VecDeque::from([bytes.slice(..bytes.len() / 2)]);
        Self::Paced(Paced {
            parts,
            promised: bytes.len().max(1) as u64,
            pause,
            sleep: Box::pin(sleep(Duration::ZERO)),
            breaks: true,
        })
    }

    /// `bytes` bytes of valid JSON.
    pub(crate) fn oversized(mut bytes: u64) -> Self {
        const FRAME: (&[u8], &[u8]) = (b"{\"padding\":\"", b"\"}");
        const PART: usize = 64 * 1024;
        let padding = Bytes::from(vec![b'a'; PART]);
        let mut begun = false;
        let mut ended = false;
        bytes = bytes.saturating_sub((FRAME.0.len() + FRAME.1.len()) as u64);
        Self::Pull(Box::new(move || {
            if !std::mem::replace(&mut begun, true) {
                return Some(Bytes::from_static(FRAME.0));
            }
            if bytes > 0 {
                let part = padding.slice(..PART.min(usize::try_from(bytes).unwrap_or(PART)));
                bytes -= part.len() as u64;
                return Some(part);
            }
            (!std::mem::replace(&mut ended, true)).then(|| Bytes::from_static(FRAME.1))
        }))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full((!bytes.is_empty()).then_some(bytes))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Pull(pull) => Poll::Ready(pull().map(|b| Ok(Frame::data(b)))),
            Self::Paced(paced) => paced.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Pull(_) => SizeHint::default(),
            Self::Paced(paced) => SizeHint::with_exact(paced.promised),
        }
    }
}

impl Paced {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.parts.is_empty() && !self.breaks {
            return Poll::Ready(None);
        }
        if self.sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.sleep.as_mut().reset(Instant::now() + self.pause);
        match self.parts.pop_front() {
            Some(part) => Poll::Ready(Some(Ok(Frame::data(part)))),
            None => Poll::Ready(Some(Err(io::Error::other("a scripted fault breaks the body here")))),
        }
    }
}
