//! Attached tables: rows on their way to jobs, in the transaction that writes them.
//!
//! | module | its one noun |
//! |---|---|
//! | [`collect`] | the triggers, and the rows that they have collected |
//! | [`place`] | rows as jobs: prompts made as the attachment's owner, queued set-based, refused one by one |

mod collect;
pub mod place;

use pgrx::prelude::*;

pub use collect::register;

/// Lets an object be dropped together with a table, or (`column` is not 0) with a column of it, as an index is.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
pub fn goes_with(class: pg_sys::Oid, object: pg_sys::Oid, relation: pg_sys::Oid, column: i32) {
    let depender = pg_sys::ObjectAddress { classId: class, objectId: object, objectSubId: 0 };
    let referenced = pg_sys::ObjectAddress {
        classId: pg_sys::RelationRelationId,
        objectId: relation,
        objectSubId: column,
    };
    // SAFETY: two addresses that are read.
    unsafe {
        pg_sys::recordDependencyOn(&depender, &referenced, pg_sys::DependencyType::DEPENDENCY_AUTO);
    }
}
