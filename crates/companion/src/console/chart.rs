//! A chart as SVG: it is a part of the page, and needs nothing else.

use maud::{Markup, html};
use serde_json::Value;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
const FOOT: f64 = 20.0;

/// A bar for each day.
pub fn bars(days: &[Value]) -> Markup {
    let cost = |day: &Value| day["cost"].as_f64().filter(|cost| cost.is_finite()).unwrap_or(0.0).max(0.0);
    let highest = days.iter().map(cost).fold(0.0, f64::max);
    if highest <= 0.0 {
        return html! { p class="quiet" { "Nothing was spent." } };
    }
    let step = WIDTH / days.len().max(1) as f64;
    let said = |day: &Value| {
        format!(
            "{}: {} USD",
            day["day"].as_str().unwrap_or_default(),
            day["text"].as_str().unwrap_or_default()
        )
    };
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + FOOT)) role="img" aria-label=(format!("Known costs by day, the highest {highest:.2} USD")) {
            @for (at, day) in days.iter().enumerate() {
                @let height = (cost(day) / highest * (HEIGHT - 16.0)).max(1.0);
                rect x=(format!("{:.1}", at as f64 * step + 2.0)) y=(format!("{:.1}", HEIGHT - height)) width=(format!("{:.1}", (step - 4.0).clamp(1.0, 60.0))) height=(format!("{height:.1}")) {
                    title { (said(day)) }
                }
            }
            @if let (Some(first), Some(last)) = (days.first(), days.last()) {
                text x="2" y=(HEIGHT + 14.0) { (first["day"].as_str().unwrap_or_default()) }
                @if days.len() > 1 { text x=(WIDTH) y=(HEIGHT + 14.0) text-anchor="end" { (last["day"].as_str().unwrap_or_default()) } }
            }
        }
        details { summary { "As numbers" } ul { @for day in days { li { (said(day)) } } } }
    }
}
