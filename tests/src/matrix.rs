//! The crash matrix: whatever is killed, wherever it is, no job is lost, none is paid twice, and no money is invented.
//!
//! | module | its one noun |
//! |---|---|
//! | [`field`] | a server whose worker can be held at named places, and the jobs on it |
//! | [`kill`] | the ways to end something |
//! | [`point`] | the places in a job's life, and what a kill there must lead to |
//! | [`grid`] | each place × each kill × each kind of provider, once |
//! | [`storm`] | random kills while jobs run |
//! | [`reviews`] | what owners, reviewers and administrators make of uncertain calls, and what the budget says then |
//! | [`audit`] | the promises, checked against the simulator's ledger |

pub mod audit;
pub mod field;
pub mod grid;
pub mod kill;
pub mod point;
pub mod reviews;
pub mod storm;
