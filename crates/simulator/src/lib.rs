//! A stand-in for the image providers.
#![forbid(unsafe_code)]
