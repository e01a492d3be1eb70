//! The size of an image and the rule a model has for it.

use serde::{Deserialize, Serialize};

use crate::job::{Invalid, Request, Warning};

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

impl Size {
    /// Width times height.
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Width times height, in millions.
    pub fn megapixels(self) -> f64 {
        f64::from(self.width) * f64::from(self.height) / 1e6
    }

    fn ratio(self) -> f64 {
        f64::from(self.width) / f64::from(self.height)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// Which sizes a model makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SizeRule {
    /// Any size whose sides lie in a range and are multiples of a step.
    Free {
        /// Shortest side.
        min: u32,
        /// Longest side.
        max: u32,
        /// Both sides are multiples of it.
        step: u32,
        /// Fewest pixels in all, where the model has such a limit.
        #[serde(default)]
        min_pixels: Option<u64>,
        /// Most pixels in all, where the model has such a limit.
        #[serde(default)]
        max_pixels: Option<u64>,
        /// How many times longer one side may be than the other, where the model has such a limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_ratio: Option<f64>,
        /// Used when the caller says nothing.
        default: [u32; 2],
    },
    /// A fixed list; the first one is the default.
    Fixed(Vec<[u32; 2]>),
    /// A list of ratios, written `W:H`; the first one is the default. The provider chooses the pixels.
    Ratios {
        /// The ratios.
        ratios: Vec<String>,
        /// About how many pixels an image has.
        pixels: u64,
    },
    /// That of the image that goes in, or a multiple of it.
    Source,
}

/// The size that is made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Made {
    /// In pixels, as far as known before.
    pub size: Option<Size>,
    /// The ratio as the model lists it, where it takes ratios.
    pub ratio: Option<String>,
    /// What is not as asked.
    pub warnings: Vec<Warning>,
}

/// How different two ratios may look before it is said. (Sides in steps of 32 pixels cannot be nearer.)
const NOTICEABLE: f64 = 0.025;

/// The size that is made for a request. `source` is the size of the image that goes in, where one does: what
/// is made follows it unless the caller asks for something else.
pub fn choose(rule: &SizeRule, request: &Request, source: Option<Size>) -> Result<Made, Invalid> {
    let asked = match (request.width, request.height) {
        (Some(width), Some(height)) => Some(Size { width, height }),
        _ => None,
    };
    let ratio = request.aspect_ratio.as_deref().map(parse_ratio).transpose()?;
    let made = match rule {
        SizeRule::Free { .. } => Made { size: Some(free(rule, asked, ratio, source)?), ..Made::default() },
        SizeRule::Fixed(sizes) => {
            let size =
                fixed(sizes, asked, asked.or(source).map(Size::ratio).filter(|_| ratio.is_none()).or(ratio));
            Made { size: Some(size?), ..Made::default() }
        }
        SizeRule::Ratios { ratios, pixels } => {
            let wished = asked.map(Size::ratio).or(ratio).or(source.map(Size::ratio));
            listed(ratios, *pixels, wished)?
        }
        SizeRule::Source => {
            let scale = request.scale.unwrap_or(1);
            let size = source.map(|s| Size { width: s.width * scale, height: s.height * scale });
            let message = "the size of this model's images follows the image that goes in";
            let warning = (asked.is_some() || ratio.is_some()).then(|| Warning::new("unsupported", message));
            return Ok(Made { size, ratio: None, warnings: warning.into_iter().collect() });
        }
    };
    let mut warnings = vec![];
    if let (Some(asked), Some(wished)) = (asked, ratio)
        && distance(asked.ratio(), wished) > NOTICEABLE
    {
        let ratio = request.aspect_ratio.as_deref().unwrap_or_default();
        let message = format!("aspect ratio {ratio} is not used: width and height say {asked}");
        warnings.push(Warning::new("adjusted", message));
    }
    let Some(size) = made.size else { return Ok(Made { warnings, ..made }) };
    // What is listed as a ratio is the same or another one.
    let (by_ratio, noticeable) = match &made.ratio {
        Some(listed) => (parse_ratio(listed).ok(), 0.001),
        None => (None, NOTICEABLE),
    };
    let really = by_ratio.unwrap_or_else(|| size.ratio());
    let name = || made.ratio.clone().unwrap_or_else(|| size.to_string());
    let changed = match (asked, ratio, source) {
        (Some(asked), ..) if asked != size && by_ratio.is_none() => {
            Some(format!("size {asked} became {size}, the nearest this model makes"))
        }
        (Some(asked), ..) if asked != size => {
            Some(format!("size {asked} became the ratio {}, about {size}", name()))
        }
        (None, Some(wished), _) if distance(really, wished) > noticeable => {
            let wished = request.aspect_ratio.as_deref().unwrap_or_default();
            Some(format!("aspect ratio {wished} became {}, the nearest this model makes", name()))
        }
        (None, None, Some(source)) if by_ratio.is_some() && distance(really, source.ratio()) > NOTICEABLE => {
            Some(format!("the image of {source} is made in the ratio {}, the nearest possible", name()))
        }
        (None, None, Some(source)) if by_ratio.is_none() && source != size => {
            Some(format!("the image of {source} is made at {size}, the nearest possible size"))
        }
        _ => None,
    };
    warnings.extend(changed.map(|message| Warning::new("adjusted", message)));
    Ok(Made { warnings, ..made })
}

fn free(
    rule: &SizeRule,
    asked: Option<Size>,
    ratio: Option<f64>,
    source: Option<Size>,
) -> Result<Size, Invalid> {
    let SizeRule::Free { min, max, step, min_pixels, max_pixels, max_ratio, default } = rule else {
        return Err(no_size());
    };
    let round = |v: f64| (((v / f64::from(*step)).round() as u32) * step).clamp(*min, *max);
    // Within its limit by as much as rounding two sides can add.
    let within = |ratio: f64| match max_ratio.filter(|most| ratio > *most || 1.0 / ratio > *most) {
        Some(most) if ratio > 1.0 => most * 0.97,
        Some(most) => 1.0 / (most * 0.97),
        None => ratio,
    };
    let of = |pixels: f64, ratio: f64| {
        let ratio = within(ratio);
        let width = (pixels * ratio).sqrt();
        Size { width: round(width), height: round(width / ratio) }
    };
    match (asked, ratio, source) {
        (Some(size), _, _) => {
            if size.width < *min || size.width > *max || size.height < *min || size.height > *max {
                return Err(Invalid::new(
                    format!("this model does not make {size}"),
                    format!("Each side is {min} to {max} pixels, in steps of {step}."),
                ));
            }
            let made = Size { width: round(f64::from(size.width)), height: round(f64::from(size.height)) };
            let pixels = u64::from(made.width) * u64::from(made.height);
            if pixels < min_pixels.unwrap_or(0) || pixels > max_pixels.unwrap_or(u64::MAX) {
                return Err(Invalid::new(
                    format!("this model does not make {size}"),
                    format!(
                        "The whole image has {} to {} pixels.",
                        min_pixels.unwrap_or(0),
                        max_pixels.map_or("any number of".into(), |p| p.to_string()),
                    ),
                ));
            }
            if within(made.ratio()) != made.ratio() {
                let most = max_ratio.unwrap_or_default();
                return Err(Invalid::new(
                    format!("this model does not make {size}"),
                    format!("One side is at most {most} times as long as the other."),
                ));
            }
            Ok(made)
        }
        (None, Some(ratio), _) => Ok(of(f64::from(default[0]) * f64::from(default[1]), ratio)),
        (None, None, Some(source)) => {
            let pixels = f64::from(source.width) * f64::from(source.height);
            let most = max_pixels.map_or(f64::MAX, |p| p as f64);
            // Below the most by as much as rounding two sides up can add.
            let shrunk = if pixels > most { most * 0.97 } else { pixels };
            let grown = shrunk.max(min_pixels.map_or(0.0, |p| p as f64 * 1.03));
            // Neither side beyond its limit, or the ratio would change.
            let ratio = within(source.ratio());
            let (width, height) = ((grown * ratio).sqrt(), (grown / ratio).sqrt());
            let (longest, shortest) = (width.max(height), width.min(height));
            let fits = (f64::from(*min) / shortest).max(1.0).min(f64::from(*max) / longest);
            Ok(of(grown * fits * fits, ratio))
        }
        (None, None, None) => Ok(Size { width: default[0], height: default[1] }),
    }
}

fn fixed(sizes: &[[u32; 2]], asked: Option<Size>, wished: Option<f64>) -> Result<Size, Invalid> {
    let all = sizes.iter().map(|[width, height]| Size { width: *width, height: *height });
    let nearest = match (asked, wished) {
        (Some(size), _) if sizes.contains(&[size.width, size.height]) => Some(size),
        (_, Some(wished)) => all.min_by(|a, b| nearer(a.ratio(), b.ratio(), wished)),
        (_, None) => all.into_iter().next(),
    };
    nearest.ok_or_else(no_size)
}

fn listed(ratios: &[String], pixels: u64, wished: Option<f64>) -> Result<Made, Invalid> {
    let read = |text: &String| parse_ratio(text).ok().map(|ratio| (text.clone(), ratio));
    let all = ratios.iter().filter_map(read);
    let best = match wished {
        Some(wished) => all.min_by(|a, b| nearer(a.1, b.1, wished)),
        None => all.into_iter().next(),
    };
    let (text, ratio) = best.ok_or_else(no_size)?;
    let width = (pixels as f64 * ratio).sqrt();
    let size = Size { width: width.round() as u32, height: (width / ratio).round() as u32 };
    Ok(Made { size: Some(size), ratio: Some(text), warnings: vec![] })
}

fn nearer(a: f64, b: f64, wished: f64) -> std::cmp::Ordering {
    distance(a, wished).total_cmp(&distance(b, wished))
}

fn no_size() -> Invalid {
    Invalid::new("this model has no size", "Repair its row in image_gen.models.")
}

/// How different two ratios look: 16:9 is as far from 1:1 as 9:16 is.
fn distance(a: f64, b: f64) -> f64 {
    (a.ln() - b.ln()).abs()
}

/// Reads `W:H`.
pub fn parse_ratio(text: &str) -> Result<f64, Invalid> {
    let parts = text.split_once(':').map(|(w, h)| (w.trim().parse::<f64>(), h.trim().parse::<f64>()));
    match parts {
        Some((Ok(w), Ok(h))) if w > 0.0 && h > 0.0 && (0.05..=20.0).contains(&(w / h)) => Ok(w / h),
        _ => Err(Invalid::new(
            format!("aspect ratio '{text}' is not understood"),
            "Write it as '1:1', '16:9', '9:16', '4:3', '3:4' or the like.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: serde_json::Value) -> Request {
        let mut all = serde_json::json!({"prompt": "x", "seed": 1});
        all.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn flux() -> SizeRule {
        SizeRule::Free {
            min: 256,
            max: 1440,
            step: 32,
            min_pixels: None,
            max_pixels: None,
            max_ratio: None,
            default: [1024, 768],
        }
    }

    fn chosen(rule: &SizeRule, json: serde_json::Value) -> (String, bool) {
        let made = choose(rule, &request(json), None).unwrap();
        (made.size.unwrap().to_string(), !made.warnings.is_empty())
    }

    #[test]
    fn a_free_model_rounds_to_its_step_and_says_so() {
        use serde_json::json;
        assert_eq!(chosen(&flux(), json!({"width": 1024, "height": 1024})), ("1024x1024".into(), false));
        assert_eq!(chosen(&flux(), json!({"width": 1000, "height": 1000})), ("992x992".into(), true));
        assert_eq!(chosen(&flux(), json!({})), ("1024x768".into(), false));
        assert_eq!(chosen(&flux(), json!({"aspect_ratio": "16:9"})), ("1184x672".into(), false));
        let error = choose(&flux(), &request(json!({"width": 2000, "height": 512})), None).unwrap_err();
        assert!(error.hint.contains("256 to 1440"), "{}", error.hint);
    }

    #[test]
    fn a_fixed_model_takes_the_nearest_ratio_and_says_so() {
        use serde_json::json;
        // S122: the three sizes of the older OpenAI models.
        let fixed = SizeRule::Fixed(vec![[1024, 1024], [1536, 1024], [1024, 1536]]);
        assert_eq!(chosen(&fixed, json!({"width": 1792, "height": 1024})), ("1536x1024".into(), true));
        assert_eq!(chosen(&fixed, json!({"width": 1024, "height": 1536})), ("1024x1536".into(), false));
        assert_eq!(chosen(&fixed, json!({"aspect_ratio": "9:16"})), ("1024x1536".into(), true));
        assert_eq!(chosen(&fixed, json!({})), ("1024x1024".into(), false));
    }

    #[test]
    fn a_model_with_ratios_takes_the_nearest_one() {
        use serde_json::json;
        // S123, S124
        let rule = SizeRule::Ratios {
            ratios: ["1:1", "16:9", "9:16", "3:2"].map(String::from).to_vec(),
            pixels: 1 << 20,
        };
        let ratio = |json| {
            let made = choose(&rule, &request(json), None).unwrap();
            (made.ratio.unwrap(), !made.warnings.is_empty())
        };
        assert_eq!(ratio(json!({})), ("1:1".into(), false));
        assert_eq!(ratio(json!({"aspect_ratio": "16:9"})), ("16:9".into(), false));
        assert_eq!(ratio(json!({"aspect_ratio": "21:9"})), ("16:9".into(), true));
        assert_eq!(ratio(json!({"width": 1024, "height": 1024})), ("1:1".into(), false));
        assert_eq!(ratio(json!({"width": 1920, "height": 1080})), ("16:9".into(), true));
    }

    #[test]
    fn what_is_made_from_a_picture_follows_its_size() {
        use serde_json::json;
        let source = Some(Size { width: 640, height: 480 });
        let size =
            |rule: &SizeRule, json| choose(rule, &request(json), source).unwrap().size.unwrap().to_string();
        assert_eq!(size(&flux(), json!({})), "640x480");
        assert_eq!(size(&SizeRule::Source, json!({"scale": 4})), "2560x1920");
        assert_eq!(size(&SizeRule::Fixed(vec![[1024, 1024], [1536, 1024]]), json!({})), "1536x1024");
        assert!(
            choose(&SizeRule::Source, &request(json!({"aspect_ratio": "1:1"})), source)
                .unwrap()
                .warnings
                .len()
                == 1
        );
        let small = Some(Size { width: 256, height: 192 });
        let made = choose(&flux(), &request(json!({})), small).unwrap().size.unwrap();
        assert!(made.height >= 256 && (made.ratio() - 4.0 / 3.0).abs() < 0.1, "{made}");
        let huge = Some(Size { width: 8000, height: 6000 });
        let rule = SizeRule::Free {
            min: 64,
            max: 4096,
            step: 16,
            min_pixels: None,
            max_pixels: Some(4 << 20),
            max_ratio: None,
            default: [1024, 1024],
        };
        let made = choose(&rule, &request(json!({})), huge).unwrap().size.unwrap();
        assert!(made.megapixels() < 4.2 && (made.ratio() - 4.0 / 3.0).abs() < 0.02, "{made}");
    }

    #[test]
    fn every_change_of_a_ratio_is_said() {
        use serde_json::json;
        let ratios =
            SizeRule::Ratios { ratios: ["1:1", "4:3", "3:2"].map(String::from).to_vec(), pixels: 1 << 20 };
        let fixed = SizeRule::Fixed(vec![[1024, 1024], [1024, 768]]);
        for rule in [&ratios, &fixed] {
            let made = choose(rule, &request(json!({"aspect_ratio": "7:5"})), None).unwrap();
            assert_eq!(made.warnings.len(), 1, "{made:?}");
            assert!(made.warnings[0].message.starts_with("aspect ratio 7:5 became "), "{made:?}");
            assert!(
                choose(rule, &request(json!({"aspect_ratio": "8:6"})), None).unwrap().warnings.is_empty()
            );
        }
        // A ratio beside a size that is another one.
        let beside = |ratio: &str| {
            let asked = request(json!({"width": 1024, "height": 768, "aspect_ratio": ratio}));
            choose(&flux(), &asked, None).unwrap().warnings
        };
        assert!(beside("4:3").is_empty());
        let [warning] = &beside("16:9")[..] else { panic!("not said") };
        assert_eq!(warning.message, "aspect ratio 16:9 is not used: width and height say 1024x768");
        // An image that cannot be made at its own size or in its own ratio.
        let wide = Some(Size { width: 1600, height: 1024 });
        let made = choose(&ratios, &request(json!({})), wide).unwrap();
        assert_eq!((made.ratio.as_deref(), made.warnings.len()), (Some("3:2"), 1));
        let made = choose(&flux(), &request(json!({})), wide).unwrap();
        assert_eq!((made.size.unwrap().to_string().as_str(), made.warnings.len()), ("1440x928", 1));
    }

    #[test]
    fn no_side_is_longer_than_the_model_allows() {
        use serde_json::json;
        let rule = SizeRule::Free {
            min: 480,
            max: 3840,
            step: 16,
            min_pixels: Some(655_360),
            max_pixels: Some(8_294_400),
            max_ratio: Some(3.0),
            default: [1024, 1024],
        };
        let error = choose(&rule, &request(json!({"width": 3840, "height": 480})), None).unwrap_err();
        assert!(error.hint.contains("at most 3 times"), "{}", error.hint);
        for (width, height) in [(4000, 500), (500, 4000), (3000, 600), (64, 20), (9000, 1000), (1600, 1024)] {
            let made = choose(&rule, &request(json!({})), Some(Size { width, height })).unwrap();
            let size = made.size.unwrap();
            let longer = f64::from(size.width.max(size.height)) / f64::from(size.width.min(size.height));
            assert!(longer <= 3.0 && (655_360..=8_294_400).contains(&size.pixels()), "{size}");
            assert_eq!(made.warnings.is_empty(), (width, height) == (1600, 1024), "{width}x{height}: {size}");
        }
    }
}
