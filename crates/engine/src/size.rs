//! The size of a picture and the rule a model has for it.

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
        /// Used when the caller says nothing.
        default: [u32; 2],
    },
    /// A fixed list; the first one is the default.
    Fixed(Vec<[u32; 2]>),
}

/// The size that is made for a request, and a warning where that is not what was asked.
pub fn choose(rule: &SizeRule, request: &Request) -> Result<(Size, Option<Warning>), Invalid> {
    let asked = match (request.width, request.height) {
        (Some(width), Some(height)) => Some(Size { width, height }),
        _ => None,
    };
    let ratio = request.aspect_ratio.as_deref().map(parse_ratio).transpose()?;
    let made = match rule {
        SizeRule::Free { min, max, step, min_pixels, max_pixels, default } => {
            let round = |v: f64| (((v / f64::from(*step)).round() as u32) * step).clamp(*min, *max);
            match (asked, ratio) {
                (Some(size), _) => {
                    if size.width < *min || size.width > *max || size.height < *min || size.height > *max {
                        return Err(Invalid::new(
                            format!("this model does not make {size}"),
                            format!("Each side is {min} to {max} pixels, in steps of {step}."),
                        ));
                    }
                    let made =
                        Size { width: round(f64::from(size.width)), height: round(f64::from(size.height)) };
                    let pixels = u64::from(made.width) * u64::from(made.height);
                    if pixels < min_pixels.unwrap_or(0) || pixels > max_pixels.unwrap_or(u64::MAX) {
                        return Err(Invalid::new(
                            format!("this model does not make {size}"),
                            format!(
                                "The whole picture has {} to {} pixels.",
                                min_pixels.unwrap_or(0),
                                max_pixels.map_or("any number of".into(), |p| p.to_string()),
                            ),
                        ));
                    }
                    made
                }
                (None, Some(ratio)) => {
                    let pixels = f64::from(default[0]) * f64::from(default[1]);
                    let width = (pixels * ratio).sqrt();
                    Size { width: round(width), height: round(width / ratio) }
                }
                (None, None) => Size { width: default[0], height: default[1] },
            }
        }
        SizeRule::Fixed(sizes) => {
            let wished = asked.map(Size::ratio).or(ratio);
            let all = sizes.iter().map(|[width, height]| Size { width: *width, height: *height });
            let nearest = match (asked, wished) {
                (Some(size), _) if sizes.contains(&[size.width, size.height]) => Some(size),
                (_, Some(wished)) => {
                    all.min_by(|a, b| distance(a.ratio(), wished).total_cmp(&distance(b.ratio(), wished)))
                }
                (_, None) => all.into_iter().next(),
            };
            nearest.ok_or_else(|| {
                Invalid::new("this model has no size", "Repair its row in image_gen.models.")
            })?
        }
    };
    let warning = match (asked, ratio) {
        (Some(size), _) if size != made => {
            Some(Warning::new("adjusted", format!("size {size} became {made}, the nearest this model makes")))
        }
        (None, Some(ratio)) if distance(made.ratio(), ratio) > 0.05 => Some(Warning::new(
            "adjusted",
            format!(
                "aspect ratio {} became {made}, the nearest this model makes",
                request.aspect_ratio.as_deref().unwrap_or_default()
            ),
        )),
        _ => None,
    };
    Ok((made, warning))
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
            default: [1024, 768],
        }
    }

    fn chosen(rule: &SizeRule, json: serde_json::Value) -> (String, bool) {
        let (size, warning) = choose(rule, &request(json)).unwrap();
        (size.to_string(), warning.is_some())
    }

    #[test]
    fn a_free_model_rounds_to_its_step_and_says_so() {
        use serde_json::json;
        assert_eq!(chosen(&flux(), json!({"width": 1024, "height": 1024})), ("1024x1024".into(), false));
        assert_eq!(chosen(&flux(), json!({"width": 1000, "height": 1000})), ("992x992".into(), true));
        assert_eq!(chosen(&flux(), json!({})), ("1024x768".into(), false));
        assert_eq!(chosen(&flux(), json!({"aspect_ratio": "16:9"})), ("1184x672".into(), false));
        let error = choose(&flux(), &request(json!({"width": 2000, "height": 512}))).unwrap_err();
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
}
