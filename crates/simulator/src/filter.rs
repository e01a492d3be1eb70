//! The safety filter.

use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::fault::{Fault, Stage};

/// Whether, and when, this prompt is refused. A scripted refusal comes first, then the refused words, then chance.
///
/// Chance is a hash: asking again with the same prompt and seed fares the same, another seed may fare better.
pub(crate) fn verdict(
    config: &Config,
    scripted: Option<&Fault>,
    provider: &str,
    prompt: &str,
    seed: u64,
) -> Option<Stage> {
    if let Some(Fault::Refuse { stage }) = scripted {
        return Some(stage.unwrap_or(config.refusal_stage));
    }
    let lower = prompt.to_lowercase();
    let word =
        config.refusal_words.iter().any(|word| !word.is_empty() && lower.contains(&word.to_lowercase()));
    (word || unlucky(config, provider, prompt, seed)).then_some(config.refusal_stage)
}

fn unlucky(config: &Config, provider: &str, prompt: &str, seed: u64) -> bool {
    if config.refusal_rate <= 0.0 {
        return false;
    }
    let mut hash = Sha256::new();
    hash.update(config.seed.to_le_bytes());
    hash.update(seed.to_le_bytes());
    hash.update(provider);
    hash.update([0]);
    hash.update(prompt);
    let digest = hash.finalize();
    let drawn = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
    f64::from(drawn) < config.refusal_rate * 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_words_are_found_in_any_case() {
        let config = Config::default();
        assert_eq!(verdict(&config, None, "bfl", "Portrait, EYES Closed", 1), Some(Stage::Content));
        assert_eq!(verdict(&config, None, "bfl", "portrait", 1), None);
    }

    #[test]
    fn chance_refuses_about_the_share_asked_for_and_always_the_same_ones() {
        let config = Config { refusal_rate: 0.25, ..Config::default() };
        let all =
            || (0..4000).map(|n| verdict(&config, None, "bfl", "a cat", n).is_some()).collect::<Vec<_>>();
        let refused = all().iter().filter(|r| **r).count();
        assert!((850..1150).contains(&refused), "{refused}");
        assert_eq!(all(), all());
    }
}
