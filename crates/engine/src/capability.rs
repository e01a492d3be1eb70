//! What a model does with each parameter.
