//! The pure core of image_gen.
#![forbid(unsafe_code)]
