//! The frame of every page. All that is put into it is escaped.

use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

use super::login::Visitor;
use crate::fault::Fault;

const PLACES: [(&str, &str); 5] = [
    ("/", "Campaigns"),
    ("/reviews", "Reviews"),
    ("/sets", "Variants"),
    ("/money", "Money"),
    ("/health", "Health"),
];

/// A page of someone who is logged in. One that is live asks for itself again when something has changed.
pub fn page(visitor: &Visitor, title: &str, here: &str, live: bool, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body {
                a class="skip" href="#main" { "To the content" }
                header {
                    strong { "image-gen" }
                    nav aria-label="Places" {
                        @for (place, name) in PLACES {
                            a href=(place) aria-current=[(place == here).then_some("page")] { (name) }
                        }
                    }
                    span class="quiet" { (visitor.name()) }
                    form method="post" action="/logout" {
                        input type="hidden" name="csrf" value=(visitor.csrf);
                        button { "Log out" }
                    }
                }
                main id="main" data-live=[live.then_some("1")] {
                    h1 { (title) }
                    (content)
                }
                script src="/console.js" {}
            }
        }
    }
}

/// A page of no one.
pub fn bare(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body { main id="main" { h1 { (title) } (content) } }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            title { (title) " - image-gen" }
            link rel="stylesheet" href="/console.css";
        }
    }
}

/// What went wrong.
pub fn fault(fault: &Fault) -> Markup {
    let content = html! {
        p role="alert" { (fault.message) }
        @if !fault.hint.is_empty() { p class="quiet" { (fault.hint) } }
        p { a href="/" { "To the campaigns" } }
    };
    bare("This was not done", &content)
}

/// A member of some JSON as text; empty where there is none.
pub fn text(value: &Value, key: &str) -> String {
    match &value[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The same with a dash where there is none.
pub fn or_dash(value: &Value, key: &str) -> String {
    match text(value, key) {
        empty if empty.is_empty() => "-".to_owned(),
        some => some,
    }
}

/// Rows as a table.
pub fn table(caption: &str, columns: &[(&str, &str)], rows: &[Value]) -> Markup {
    html! {
        @if rows.is_empty() {
            p class="quiet" { (caption) ": nothing." }
        } @else {
            div class="scroll" tabindex="0" role="region" aria-label=(caption) {
                table {
                    caption class="quiet" { (caption) }
                    thead { tr { @for (_, name) in columns { th scope="col" { (name) } } } }
                    tbody {
                        @for row in rows {
                            tr { @for (key, _) in columns { td { (or_dash(row, key)) } } }
                        }
                    }
                }
            }
        }
    }
}

/// The rows of some JSON.
pub fn rows(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}
