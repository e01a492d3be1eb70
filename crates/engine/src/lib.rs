//! The pure core of image_gen: what a job is, what a provider is, and what happens next.
//!
//! Nothing in here talks to Postgres, reads a clock, draws random numbers or opens a socket: time and
//! randomness are arguments, and HTTP is a pair of plain values. The one exception is the module
//! [`http::driver`], behind the feature `async`, which sends a request value over a real connection.
//!
//! | module | its one noun |
//! |---|---|
//! | [`job`] | what was asked, checked once at the border |
//! | [`input`] | an image that goes into a job |
//! | [`canvas`] | pixels of masks and of extended images |
//! | [`catalogue`] | models and prices, as published and as they are in a database |
//! | [`capability`] | what a model does with each parameter |
//! | [`candidate`] | one (provider, model) pair of the catalogue that could do a job |
//! | [`size`] | the size of an image and the rule a model has for it |
//! | [`admission`] | where a job may go, and what that costs
//! | [`route`] | the order in which candidates are tried |
//! | [`provider`] | the trait of an adapter and the one table of adapters |
//! | [`http`] | a request and a response as values |
//! | [`verdict`] | what may be done after an answer: one table for all providers
//! | [`lenient`] | answers that are slightly wrong, read all the same
//! | [`failure`] | what went wrong, by what to do about it |
//! | [`retry`] | the rule that says what follows a failure |
//! | [`health`] | which providers are well, for all jobs together |
//! | [`progress`] | how far a job has come along its route and up its ladder |
//! | [`poll`] | when to ask a provider again |
//! | [`run`] | the state machine of a job |
//! | [`cost`] | money: reported, priced or unknown |
//! | [`picture`] | what the bytes of an answer really are |
//! | [`contact_sheet`] | images as one page to look at |
//! | [`allowance`] | what a role may ask for |
//! | [`content`] | rules for what may be in an image |
//! | [`policy`] | which options lower a safety filter, and who may do that |
//! | [`seed`] | seeds chosen by us, reproducibly |
//! | [`prompt_hints`] | what a prompt says about itself |
//! | [`scheduler`] | what is claimed next, and when |
//! | [`fair_queue`] | which owner is next at a provider |
//! | [`egress`] | which addresses may be contacted |
//! | [`denials`] | requests that were turned away, folded |
//! | [`secret`] | keys that cannot be printed, and the file that they are in |
//! | [`redact`] | keys taken out of texts from outside |
//! | [`pauses`] | what an administrator has paused |
//! | [`trace_context`] | what a job belongs to in a distributed trace |
//! | [`render_class`] | which renders take about as long |
#![forbid(unsafe_code)]

pub mod admission;
pub mod allowance;
pub mod candidate;
pub mod canvas;
pub mod capability;
pub mod catalogue;
pub mod contact_sheet;
pub mod content;
pub mod cost;
pub mod denials;
pub mod egress;
pub mod failure;
pub mod fair_queue;
pub mod health;
pub mod http;
pub mod input;
pub mod job;
pub mod key_use;
pub mod lenient;
pub mod pauses;
pub mod picture;
pub mod policy;
pub mod poll;
pub mod progress;
pub mod prompt_hints;
pub mod provider;
pub mod rate;
pub mod redact;
pub mod render_class;
pub mod retry;
pub mod route;
pub mod run;
pub mod scheduler;
pub mod secret;
pub mod seed;
pub mod size;
pub mod style;
pub mod trace_context;
pub mod verdict;
pub mod webhook;
