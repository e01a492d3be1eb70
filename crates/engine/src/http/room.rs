//! How much of answers is in memory at a time: a provider that finishes many renders at once must not fill it. An answer that finds no
//! room is left in its connection, and its clock stands still meanwhile: what is paid for is not given up for want of room here.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So much of every answer is read in any case: what is not an image is shorter.
pub(super) const FREE: usize = 256 << 10;
/// What an answer that does not say its length has room for at first.
const USUAL: usize = 4 << 20;
/// An answer that is longer than this is one of few.
const LARGE: usize = 16 << 20;
/// The large ones that there are at a time.
const LARGE_AT_ONCE: usize = 2;
/// All others together, in units.
const ROOM: usize = (128 << 20) / UNIT;
const UNIT: usize = 64 << 10;

/// The room that all answers share.
#[derive(Clone, Debug)]
pub struct Room {
    usual: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Room { usual: Arc::new(Semaphore::new(ROOM)), large: Arc::new(Semaphore::new(LARGE_AT_ONCE)) }
    }
}

/// The room that one answer has, until this is dropped or another answer gets it.
#[derive(Debug)]
pub struct Share {
    room: Room,
    usual: Option<OwnedSemaphorePermit>,
    large: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// None yet.
    pub fn new(room: &Room) -> Self {
        Share { room: room.clone(), usual: None, large: None }
    }

    /// The answer that it was for is nowhere any more.
    pub fn clear(&mut self) {
        (self.usual, self.large) = (None, None);
    }

    /// Waits for the room for an answer of which so much is to be read: of all that it says that it has, or of more than was thought.
    /// A large one waits for no room that another large one could be waiting for.
    pub(super) async fn grow(&mut self, bytes: usize, is_all: bool) {
        if bytes <= FREE || self.large.is_some() {
            return;
        }
        let has = self.usual.as_ref().map_or(0, |held| held.num_permits() * UNIT);
        if bytes <= has {
            return;
        }
        if bytes > LARGE || has > 0 {
            // (The semaphores are never closed.)
            self.large = self.room.large.clone().acquire_owned().await.ok();
            return;
        }
        let wanted = if is_all { bytes } else { bytes.max(USUAL) }.div_ceil(UNIT);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        self.usual = self.room.usual.clone().acquire_many_owned(wanted).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn gets(share: &mut Share, bytes: usize, is_all: bool) -> bool {
        let growing = pin!(share.grow(bytes, is_all));
        growing.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn answers_together_have_so_much_room_and_small_ones_always_have_some() {
        let room = Room::default();
        let mut held = vec![];
        let mut next = |bytes: usize, is_all: bool| {
            let mut share = Share::new(&room);
            let got = gets(&mut share, bytes, is_all);
            held.push(share);
            got
        };
        // Eight of 16 MB, or thirty-two that do not say how long they are.
        assert!((0..7).all(|_| next(16 << 20, true)));
        assert!((0..4).all(|_| next(1 << 20, false)) && !next(1 << 20, false) && !next(300 << 10, true));
        assert!(next(FREE, true), "what is short is always read");
        // Those that are longer are two at a time, whatever the others do.
        assert!(next(60 << 20, true) && next(60 << 20, true) && !next(60 << 20, true));
        held.clear();
        let mut again = Share::new(&room);
        assert!(gets(&mut again, 1 << 20, false) && gets(&mut again, 4 << 20, false));
        assert!(gets(&mut again, 40 << 20, false), "it becomes one of the large ones and keeps what it has");
        assert_eq!(room.usual.available_permits(), ROOM - USUAL / UNIT);
        again.clear();
        assert_eq!((room.usual.available_permits(), room.large.available_permits()), (ROOM, LARGE_AT_ONCE));
    }
}
