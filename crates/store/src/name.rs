//! What an object is called: a template, filled in with facts of its image, and safe in every store and in every shell.

/// The facts that a name can have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// `campaign_assets.campaign`
    pub campaign: Option<&'a str>,
    /// `campaign_assets.shot`
    pub shot: Option<&'a str>,
    /// `campaign_assets.ticket`
    pub ticket: Option<&'a str>,
    /// Its job.
    pub job: &'a str,
    /// Which image of the job, from 1.
    pub position: i32,
    /// Of its bytes.
    pub sha256: &'a str,
    /// Who made it.
    pub provider: &'a str,
    /// With which model.
    pub model: &'a str,
    /// When, as YYYY-MM-DD.
    pub date: &'a str,
    /// What it is, such as `image/png`.
    pub content_type: &'a str,
}

/// What is used where the setting is empty.
pub const DEFAULT: &str = "{campaign}/{shot}/{job}.{ext}";

/// The longest name, in bytes: folders come before it, and S3 takes 1024.
const LONGEST: usize = 512;
/// The longest that one fact makes a name.
const LONGEST_FACT: usize = 80;

const PLACES: [&str; 10] =
    ["campaign", "shot", "ticket", "job", "position", "sha256", "provider", "model", "date", "ext"];

/// How names are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(&'static str),
}

impl Template {
    /// Reads a template; an empty one is [`DEFAULT`]. It must name the job or the hash: then no two images that differ have one name,
    /// not even of two databases.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = if text.trim().is_empty() { DEFAULT } else { text.trim() };
        if text.len() > LONGEST {
            return Err(format!("it has more than {LONGEST} characters"));
        }
        let (mut pieces, mut rest) = (vec![], text);
        while !rest.is_empty() {
            let (before, after) = rest.split_once('{').unwrap_or((rest, ""));
            let fine = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
            if let Some(odd) = before.chars().find(|c| !fine(*c)) {
                return Err(format!(
                    "it has a {odd}: letters, digits, . _ - / and places in braces are possible"
                ));
            }
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            if before.len() == rest.len() {
                break;
            }
            let (place, after) = after.split_once('}').ok_or("a brace is not closed")?;
            let known = PLACES.into_iter().find(|known| *known == place);
            let known =
                known.ok_or_else(|| format!("there is no {{{place}}}: {{{}}}", PLACES.join("}, {")))?;
            pieces.push(Piece::Place(known));
            rest = after;
        }
        let template = Template(pieces);
        if !template.has("job") && !template.has("sha256") {
            return Err("it has neither {job} nor {sha256}: two images would have one name".into());
        }
        Ok(template)
    }

    fn has(&self, place: &str) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Place(known) if *known == place))
    }

    /// The name of an image.
    pub fn fill(&self, facts: &Facts) -> String {
        let mut name = String::new();
        let numbered = facts.position > 1 && !self.has("position") && !self.has("sha256");
        for piece in &self.0 {
            let fact = match piece {
                Piece::Text(text) => {
                    name.push_str(text);
                    continue;
                }
                Piece::Place("job") if numbered => format!("{}-{}", facts.job, facts.position),
                Piece::Place(place) => facts.of(place),
            };
            // Cut by characters that are ASCII all.
            name.extend(sanitised(&fact).chars().take(LONGEST_FACT));
        }
        let parts = name.split('/').map(|part| part.trim_matches('.')).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("/")
    }
}

impl Facts<'_> {
    fn of(&self, place: &str) -> String {
        match place {
            "campaign" => self.campaign.unwrap_or("none").to_owned(),
            "shot" => self.shot.unwrap_or("none").to_owned(),
            "ticket" => self.ticket.unwrap_or("none").to_owned(),
            "job" => self.job.to_owned(),
            "position" => self.position.to_string(),
            "sha256" => self.sha256.to_owned(),
            "provider" => self.provider.to_owned(),
            "model" => self.model.to_owned(),
            "date" => self.date.to_owned(),
            _ => extension(self.content_type).to_owned(),
        }
    }
}

/// The name of an image whose own name another one has.
pub fn with_hash(name: &str, sha256: &str) -> String {
    let hash: String = sha256.chars().take(16).collect();
    let (folder, file) =
        name.rsplit_once('/').map_or(("", name), |(_, file)| (&name[..name.len() - file.len()], file));
    match file.rsplit_once('.') {
        Some((stem, end)) => format!("{folder}{stem}-{hash}.{end}"),
        None => format!("{folder}{file}-{hash}"),
    }
}

/// The usual end of a file of this type.
pub fn extension(content_type: &str) -> &'static str {
    match content_type {
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/webp" => "webp",
        "image/gif" => "gif",
        "image/avif" => "avif",
        "image/heic" => "heic",
        "image/tiff" => "tif",
        "image/jxl" => "jxl",
        "image/bmp" => "bmp",
        "image/svg+xml" => "svg",
        _ => "bin",
    }
}

/// One part of a path, whatever the fact is: letters, digits, `.`, `_` and `-`. A run of others becomes one `-`.
fn sanitised(fact: &str) -> String {
    let mut clean = String::new();
    for c in fact.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
            clean.push(c);
        } else if !clean.ends_with('-') {
            clean.push('-');
        }
    }
    let clean = clean.trim_matches(['-', '.']);
    if clean.is_empty() { "none".to_owned() } else { clean.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts<'static> {
        Facts {
            job: "gen_01",
            position: 1,
            sha256: "abc",
            content_type: "image/png",
            date: "2026-11-30",
            ..Facts::default()
        }
    }

    #[test]
    fn no_fact_leads_out_of_its_folder() {
        let template = Template::parse("").unwrap();
        for (campaign, name) in [
            (None, "none/none/gen_01.png"),
            (Some("spring"), "spring/none/gen_01.png"),
            (Some("../../etc/passwd"), "etc-passwd/none/gen_01.png"),
            (Some(".."), "none/none/gen_01.png"),
            (Some("a/b\\c"), "a-b-c/none/gen_01.png"),
            (Some("Fr\u{fc}hling \u{2603}\u{fe0f}"), "Fr-hling/none/gen_01.png"),
            (Some("x\0y\n?#%&"), "x-y/none/gen_01.png"),
            (Some("\u{202e}"), "none/none/gen_01.png"),
        ] {
            assert_eq!(template.fill(&Facts { campaign, ..facts() }), name);
        }
        let long = "a".repeat(10_000);
        let name = template.fill(&Facts { campaign: Some(&long), shot: Some(&long), ..facts() });
        assert!(name.len() < 256 && name.ends_with("/gen_01.png"), "{name}");
    }

    #[test]
    fn two_images_have_two_names() {
        let named = |template: &str, position| {
            Template::parse(template).unwrap().fill(&Facts { position, ..facts() })
        };
        assert_eq!(named("{job}.{ext}", 2), "gen_01-2.png");
        assert_eq!(named("{job}/{position}.{ext}", 2), "gen_01/2.png");
        assert_eq!(named("{date}/{sha256}.{ext}", 2), "2026-11-30/abc.png");
        assert_eq!(with_hash("a.b/c.png", "0123456789abcdef0"), "a.b/c-0123456789abcdef.png");
        assert_eq!(with_hash("a.b/c", "01"), "a.b/c-01");
        for (wrong, why) in [
            ("{campaign}.{ext}", "two images would have one name"),
            ("{job", "not closed"),
            ("{jobs}", "there is no {jobs}"),
            ("{job} x", "it has a  "),
            ("{job}\u{e9}", "it has a"),
        ] {
            let said = Template::parse(wrong).unwrap_err();
            assert!(said.contains(why), "{wrong}: {said}");
        }
    }
}
