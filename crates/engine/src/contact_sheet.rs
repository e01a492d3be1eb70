//! Images of a campaign or a batch as one page of HTML that needs nothing else: no script, no request, and every text escaped where
//! it is put in. What is not ASCII is written as numbers, so that the page is the same in every encoding.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Deserialize;

/// What is on the page.
#[derive(Clone, Debug, Deserialize)]
pub struct Sheet {
    /// The campaign or the batch.
    pub title: String,
    /// When it was made, for people.
    pub made_at: String,
    /// How many entries there are, shown or not.
    pub found: u64,
    /// What all of them cost, by currency.
    pub costs: Vec<Costs>,
    /// Those that are shown.
    pub entries: Vec<Entry>,
}

/// What entries cost together.
#[derive(Clone, Debug, Deserialize)]
pub struct Costs {
    /// ISO 4217.
    pub currency: String,
    /// The sum of what is known.
    #[serde(default)]
    pub known: Option<String>,
    /// Of how many it is not known.
    pub unknown: u64,
}

/// An image, or a job without one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// `jobs.id`
    pub job_id: String,
    /// `campaign_assets.id`
    pub asset_id: Option<i64>,
    /// What it is called.
    pub shot: Option<String>,
    /// What it was made from.
    pub prompt: String,
    /// Where it was made.
    pub provider: Option<String>,
    /// By which model.
    pub model: String,
    /// From which seed.
    pub seed: Option<i64>,
    /// How its job stands.
    pub status: String,
    /// Why there is no image.
    pub error_code: Option<String>,
    /// With its currency, or that it is unknown.
    pub cost: Option<String>,
    /// How often the job was refused.
    pub refusals: u64,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// That there is nothing on it.
    pub blank: Option<String>,
    /// The words that it is to be published with.
    pub disclosure: Option<String>,
    /// Whether its bytes say where it comes from.
    pub marked: bool,
    /// A small copy.
    pub picture: Option<Picture>,
}

/// A small copy of an image.
#[derive(Clone, Debug, Deserialize)]
pub struct Picture {
    /// `image/jpeg` …
    pub content_type: String,
    /// Its bytes.
    pub base64: String,
}

impl Picture {
    /// As an address that needs no request; `None` for what is no image.
    fn address(&self) -> Option<String> {
        let known =
            ["image/png", "image/jpeg", "image/webp", "image/gif"].contains(&self.content_type.as_str());
        let base64 = self.base64.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
        (known && base64).then(|| format!("data:{};base64,{}", self.content_type, self.base64))
    }
}

const STYLE: &str = include_str!("contact_sheet/style.css");

/// The page.
pub fn page(sheet: &Sheet) -> String {
    let shown = sheet.entries.len() as u64;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                title { "Contact sheet: " (sheet.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (sheet.title) }
                    p {
                        (sheet.found) @if sheet.found == 1 { " entry" } @else { " entries" }
                        @for costs in &sheet.costs {
                            ", " (costs.known.as_deref().unwrap_or("0")) " " (costs.currency)
                            @if costs.unknown > 0 { " and " (costs.unknown) " of unknown cost" }
                        }
                        ", as of " (sheet.made_at)
                    }
                    @if shown < sheet.found {
                        p.note { "Only the first " (shown) " of " (sheet.found) " are shown." }
                    }
                }
                main {
                    @if sheet.entries.is_empty() { p { "There is nothing here yet, or nothing that you may see." } }
                    ul { @for entry in &sheet.entries { (card(entry)) } }
                }
            }
        }
    };
    ascii(&page.into_string())
}

fn card(entry: &Entry) -> Markup {
    let name = entry.shot.as_deref().unwrap_or(&entry.job_id);
    let address = entry.picture.as_ref().and_then(Picture::address);
    html! {
        li {
            article {
                div.picture {
                    @if let Some(address) = address {
                        img src=(address) alt={ (name) ": " (entry.prompt) } width=[entry.width] height=[entry.height];
                    } @else if entry.asset_id.is_some() {
                        span { "No small copy is kept" }
                    } @else {
                        span { "No image" }
                    }
                }
                h2 { (name) }
                p.prompt { (entry.prompt) }
                dl {
                    (row("Status", &entry.status))
                    @if let Some(code) = &entry.error_code { (row("Why", code)) }
                    (row("Model", &match &entry.provider {
                        Some(provider) => format!("{provider}:{}", entry.model),
                        None => entry.model.clone(),
                    }))
                    @if let Some(seed) = entry.seed { (row("Seed", &seed.to_string())) }
                    (row("Cost", entry.cost.as_deref().unwrap_or("none yet")))
                    (row("Refusals", &entry.refusals.to_string()))
                    @if let (Some(width), Some(height)) = (entry.width, entry.height) {
                        (row("Size", &format!("{width} x {height}")))
                    }
                    @if let Some(id) = entry.asset_id { (row("Asset", &id.to_string())) }
                    @if entry.asset_id.is_some() {
                        (row("Marked as AI", if entry.marked { "in its bytes" } else { "not in its bytes" }))
                    }
                    @if let Some(disclosure) = &entry.disclosure { (row("Disclosure", disclosure)) }
                }
                @if let Some(blank) = &entry.blank { p.note { "Nothing is to be seen: it is " (blank) "." } }
            }
        }
    }
}

fn row(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// What is not ASCII as numbers; characters that no page may have are left out.
fn ascii(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    for c in page.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() => {}
            c if c.is_ascii() => out.push(c),
            c => out.push_str(&format!("&#{};", u32::from(c))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_escaped_and_the_page_is_ascii() {
        let hostile = "\"><script>alert(1)</script><img src=x onerror=alert(1)> ' & </style> \u{202e} caf\u{e9} \u{1f600} \u{7}";
        let text = || hostile.to_owned();
        let entry = Entry {
            job_id: text(),
            asset_id: Some(1),
            shot: Some(text()),
            prompt: text(),
            provider: Some(text()),
            model: text(),
            seed: Some(7),
            status: text(),
            error_code: Some(text()),
            cost: Some(text()),
            blank: Some(text()),
            disclosure: Some(text()),
            picture: Some(Picture { content_type: text(), base64: text() }),
            ..Entry::default()
        };
        let good = Picture { content_type: "image/png".into(), base64: "aGk=".into() };
        let sheet = Sheet {
            title: text(),
            made_at: text(),
            found: 9,
            costs: vec![Costs { currency: text(), known: Some(text()), unknown: 1 }],
            entries: vec![entry.clone(), Entry { picture: Some(good), ..entry }],
        };
        let page = page(&sheet);
        assert!(page.is_ascii() && !page.contains('\u{7}'));
        for tag in ["<script", "<img src=x", "onerror=alert(1)>", "\"><script"] {
            assert!(!page.contains(tag), "{tag}");
        }
        // One style, ours; one image, ours, and the icon.
        assert_eq!(
            ["<style", "</style", "<img", "href="].map(|part| page.matches(part).count()),
            [1, 1, 1, 1]
        );
        assert!(page.contains("&lt;script&gt;") && page.contains("caf&#233; &#128512;"));
        assert!(page.contains("Only the first 2 of 9 are shown."));
        assert!(!page.contains("http://") && !page.contains("https://"));
    }
}
