//! What an ordinary role can write into the arguments of its calls, to do harm.

mod calls;
mod values;

pub use calls::{Call, calls};
