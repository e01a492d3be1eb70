//! The endpoints, by generation, action and model, and their prices as on the vendor's price list.

use rust_decimal::Decimal;

/// One endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Endpoint {
    pub api: Api,
    pub action: Action,
    /// The model's name in the path, or in the body of the legacy API; else `ideogram-v3` or `upscale`.
    pub model: &'static str,
}

/// The generations of the API.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Api {
    /// `/{action}`. Its models are older than version 3.
    Legacy,
    /// `/v1/ideogram-v3/{action}`.
    V3,
    /// `/v2/image/{action}/{model}`.
    Current,
}

/// What an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Action {
    Generate,
    Remix,
    /// Redraws what the mask marks.
    Inpaint,
    /// Changes the image as told, only where the mask marks it if there is one.
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

/// The models of the legacy API, the usual one first, and what an image costs in thousandths of a US dollar. The last two are
/// names for what newer endpoints do.
const LEGACY: [(&str, i64); 8] = [
    ("V_2", 80),
    ("V_2_TURBO", 50),
    ("V_2A", 40),
    ("V_2A_TURBO", 25),
    ("V_1", 60),
    ("V_1_TURBO", 20),
    ("V_3", 60),
    ("AUTO", 60),
];

pub(super) fn find(path: &str) -> Option<Endpoint> {
    let parts: Vec<&str> = path.split('/').collect();
    let (api, action, model) = match parts.as_slice() {
        ["generate"] => (Api::Legacy, Action::Generate, LEGACY[0].0),
        ["remix"] => (Api::Legacy, Action::Remix, LEGACY[0].0),
        ["edit"] => (Api::Legacy, Action::Inpaint, LEGACY[0].0),
        ["reframe"] => (Api::Legacy, Action::Reframe, LEGACY[0].0),
        ["upscale"] => (Api::Legacy, Action::Upscale, "upscale"),
        ["v1", "ideogram-v3", action] => (
            Api::V3,
            match *action {
                "generate" => Action::Generate,
                "remix" => Action::Remix,
                // The newer name of `edit` is `inpaint`.
                "edit" | "inpaint" => Action::Inpaint,
                "reframe" => Action::Reframe,
                _ => return None,
            },
            "ideogram-v3",
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
            (Api::Current, action, *models.iter().find(|name| *name == model)?)
        }
        _ => return None,
    };
    Some(Endpoint { api, action, model })
}

impl Endpoint {
    pub(super) fn is_current(&self) -> bool {
        self.api == Api::Current
    }

    /// The models that the field `model` may name; none where there is no such field.
    pub(super) fn models(&self) -> impl Iterator<Item = &'static str> {
        let count = match (self.api, self.action) {
            (Api::Legacy, Action::Generate | Action::Remix) => LEGACY.len(),
            (Api::Legacy, Action::Inpaint | Action::Reframe) => 2,
            _ => 0,
        };
        LEGACY[..count].iter().map(|(name, _)| *name)
    }

    /// Whether the fields are inside of an `image_request`.
    pub(super) fn wraps(&self) -> bool {
        self.api == Api::Legacy && matches!(self.action, Action::Generate | Action::Remix | Action::Upscale)
    }

    /// Whether a wrong key is 403 here rather than 401.
    pub(super) fn forbids(&self) -> bool {
        !self.is_current() && matches!(self.action, Action::Remix | Action::Upscale)
    }

    pub(super) fn tiers(&self) -> Option<Tiers> {
        let (field, known, usual): (_, &[&str], _) = match (self.model, self.api) {
            (_, Api::Legacy) => return None,
            (_, Api::V3) => {
                ("rendering_speed", &["FLASH", "TURBO", "BALANCED", "DEFAULT", "QUALITY"], "DEFAULT")
            }
            ("ideogram-4-5", _) => ("quality", &["very_low", "low", "medium", "high"], "high"),
            ("auto", _) => ("resolution_tier", &["1k", "2k", "4k"], "1k"),
            _ => ("rendering_speed", &["turbo", "default", "quality"], "default"),
        };
        Some(Tiers { field, known, usual })
    }

    /// What one image costs in US dollars. `auto` and the old upscaler are not on the list: they count as a medium image.
    pub(super) fn price(&self, tier: &str, with_character: bool) -> Decimal {
        let legacy = LEGACY.iter().find(|(name, _)| *name == self.model);
        let (low, middle, high) = match (self.model, legacy) {
            (_, Some((_, price))) => (*price, *price, *price),
            ("ideogram-3-character", _) => (100, 150, 200),
            ("ideogram-v3", _) if with_character => (100, 150, 200),
            ("ideogram-v3" | "ideogram-3", _) => (30, 60, 90),
            _ if self.action == Action::PreciseEdit => (30, 60, 220),
            _ => (30, 60, 100),
        };
        let thousandths = match tier.to_ascii_lowercase().as_str() {
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
        let legacy = |model| Endpoint { model, ..find("generate").unwrap() }.price("", false).to_string();
        assert_eq!(["V_2", "V_2_TURBO", "V_2A"].map(legacy), ["0.08", "0.05", "0.04"]);
        assert_eq!(["V_2A_TURBO", "V_1", "V_1_TURBO"].map(legacy), ["0.025", "0.06", "0.02"]);
    }
}
