//! The endpoints, by version, action and model, and their prices as on the vendor's price list.

use rust_decimal::Decimal;

/// One endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Endpoint {
    pub action: Action,
    /// The model's name in the path; the older versions are `ideogram-v3` and `upscale`.
    pub model: &'static str,
    pub is_v2: bool,
}

/// What an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Action {
    Generate,
    Remix,
    /// Redraws what the mask marks.
    Inpaint,
    /// Changes the picture as told, only where the mask marks it if there is one.
    PreciseEdit,
    Reframe,
    Upscale,
}

/// What the choice of speed or quality is called, in which words, and which one it is unless told.
pub(super) struct Tiers {
    pub field: &'static str,
    pub known: &'static [&'static str],
    pub usual: &'static str,
}

pub(super) fn find(path: &str) -> Option<Endpoint> {
    let parts: Vec<&str> = path.split('/').collect();
    let (action, model, is_v2) = match parts.as_slice() {
        ["upscale"] => (Action::Upscale, "upscale", false),
        ["v1", "ideogram-v3", action] => (
            match *action {
                "generate" => Action::Generate,
                "remix" => Action::Remix,
                // The newer name of `edit` is `inpaint`.
                "edit" | "inpaint" => Action::Inpaint,
                "reframe" => Action::Reframe,
                _ => return None,
            },
            "ideogram-v3",
            false,
        ),
        ["v2", "image", action, model] => {
            const ALL: &[&str] =
                &["auto", "ideogram-4-5", "ideogram-4", "ideogram-3", "ideogram-3-character"];
            let (action, models) = match *action {
                "generate" => (Action::Generate, ALL),
                "remix" => (Action::Remix, ALL),
                "inpaint" => (Action::Inpaint, &ALL[3..]),
                "precise-edit" => (Action::PreciseEdit, &ALL[1..2]),
                "reframe" => (Action::Reframe, &ALL[3..4]),
                _ => return None,
            };
            (action, *models.iter().find(|name| *name == model)?, true)
        }
        _ => return None,
    };
    Some(Endpoint { action, model, is_v2 })
}

impl Endpoint {
    pub(super) fn tiers(&self) -> Option<Tiers> {
        let (field, known, usual): (_, &[&str], _) = match (self.model, self.is_v2) {
            ("ideogram-v3", _) => {
                ("rendering_speed", &["FLASH", "TURBO", "BALANCED", "DEFAULT", "QUALITY"], "DEFAULT")
            }
            ("ideogram-4-5", _) => ("quality", &["very_low", "low", "medium", "high"], "high"),
            ("auto", _) => ("resolution_tier", &["1k", "2k", "4k"], "1k"),
            (_, true) => ("rendering_speed", &["turbo", "default", "quality"], "default"),
            _ => return None,
        };
        Some(Tiers { field, known, usual })
    }

    /// What one picture costs in US dollars. `auto` and the old upscaler are not on the list: they count as a medium picture.
    pub(super) fn price(&self, tier: &str, with_character: bool) -> Decimal {
        let tier = tier.to_ascii_lowercase();
        let (low, middle, high) = match self.model {
            "ideogram-3-character" => (100, 150, 200),
            "ideogram-v3" if with_character => (100, 150, 200),
            "ideogram-v3" | "ideogram-3" => (30, 60, 90),
            _ if self.action == Action::PreciseEdit => (30, 60, 220),
            _ => (30, 60, 100),
        };
        let thousandths = match tier.as_str() {
            "very_low" => 8,
            "flash" | "turbo" | "low" => low,
            "quality" | "high" | "2k" | "4k" => high,
            _ => middle,
        };
        Decimal::new(thousandths, 3).normalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_those_of_the_price_list() {
        let price = |path: &str, tier: &str, with_character| {
            find(path).unwrap().price(tier, with_character).to_string()
        };
        assert_eq!(price("v1/ideogram-v3/generate", "TURBO", false), "0.03");
        assert_eq!(price("v1/ideogram-v3/edit", "QUALITY", false), "0.09");
        assert_eq!(price("v1/ideogram-v3/remix", "DEFAULT", true), "0.15");
        assert_eq!(price("v2/image/generate/ideogram-4-5", "high", false), "0.1");
        assert_eq!(price("v2/image/generate/ideogram-4", "turbo", false), "0.03");
        assert_eq!(price("v2/image/inpaint/ideogram-3-character", "quality", false), "0.2");
        assert_eq!(price("v2/image/precise-edit/ideogram-4-5", "high", false), "0.22");
        assert_eq!(find("v2/image/inpaint/ideogram-4"), None);
    }
}
