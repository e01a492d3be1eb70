//! Images of this database that requests refer to, and the jobs that make them.

use image_gen_engine::input::Role;
use pgrx::prelude::*;

use crate::plan::Checked;
use crate::statement::{Element, Row, Statement, argument};

/// The images that a request refers to within this database, by their roles.
pub(super) fn references_of(checked: &Checked) -> impl Iterator<Item = (&'static str, String)> {
    let came_along = |role: &Role| checked.kept.iter().any(|kept| kept.role == *role);
    let roles = Role::ALL.into_iter().filter(move |role| !came_along(role));
    let references = roles.filter_map(|role| Some((role.name(), role.reference(&checked.request)?)));
    let stored = references.filter(|(_, r)| !r.starts_with("http://") && !r.starts_with("https://"));
    stored.map(|(role, reference)| (role, reference.to_owned())).collect::<Vec<_>>().into_iter()
}

/// Of which request a reference is; as what, and to what; and the job that the request makes again, whose images are its own.
pub(super) type Referred = (usize, (&'static str, String), Option<String>);

/// A job whose image a request needs.
pub(super) struct Source {
    /// Which request.
    pub(super) number: usize,
    /// As what.
    pub(super) role: String,
    pub(super) job: String,
    pub(super) unfinished: bool,
}

/// The jobs whose images requests need. An error for an image that the caller may not see.
pub(super) fn needs(references: &[Referred], owner: pg_sys::Oid) -> Vec<Source> {
    thread_local! {
        static NEEDS: Statement = Statement::new(
            "SELECT n.number, n.role, n.job, n.unfinished FROM image_gen_internal.resolve_inputs($1, $2, $3, $4, $5) n",
            &[
                pg_sys::INT4ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::OIDOID,
            ],
        );
    }
    if references.is_empty() {
        return vec![];
    }
    let arguments = [
        Element::INTEGER.array(references.iter().map(|(number, ..)| argument(*number as i32))),
        Element::TEXT.array(references.iter().map(|(_, (role, _), _)| argument(*role))),
        Element::TEXT.array(references.iter().map(|(_, (_, reference), _)| argument(reference.as_str()))),
        Element::TEXT.array(references.iter().map(|(.., parent)| argument(parent.as_deref()))),
        argument(owner),
    ];
    let read = |row: &Row| {
        Some(Source {
            number: row.get::<i32>(1)? as usize,
            role: row.get(2)?,
            job: row.get(3)?,
            unfinished: row.get(4)?,
        })
    };
    NEEDS.with(|s| s.run(&arguments, read)).into_iter().flatten().collect()
}
