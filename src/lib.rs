//! image_gen.
pgrx::pg_module_magic!();
