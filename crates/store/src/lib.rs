//! Where finished images last: an object store, or a folder.
//!
//! | module | its one noun |
//! |---|---|
//! | [`address`] | where a store is, as `image_gen.asset_store` says it |
//! | [`name`] | what an object is called in it, as `image_gen.asset_name` says it |
//! | [`store`] | a store that is open, behind the same egress filter as all other requests |
//! | [`copy`] | an image on its way into a store, and the proof that it has arrived |
//!
//! Addresses and names are pure; the other two use the network. Nothing here knows of Postgres.

pub mod address;
pub mod copy;
pub mod name;
pub mod store;

pub use address::Address;
pub use copy::{Copied, Failed, Source};
pub use name::{Facts, Template};
pub use store::Store;
