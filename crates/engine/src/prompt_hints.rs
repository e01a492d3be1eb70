//! What a prompt says about itself.

/// Whether a prompt asks for legible text: a quotation of more than one word, or text asked for by name.
pub fn asks_for_text(prompt: &str) -> bool {
    quotations(prompt).iter().any(|quoted| quoted.split_whitespace().count() > 1)
}

/// Models that write legibly: the gpt-image family, Ideogram, and Google's image family. The others still mangle
/// anything longer than a single word.
pub fn writes_legibly(model: &str) -> bool {
    ["gpt-image", "ideogram", "gemini-", "nano-banana", "imagen", "flux-2-flex"]
        .iter()
        .any(|family| model.starts_with(family))
}

/// What stands between quotation marks. An apostrophe within or at the end of a word is none.
fn quotations(prompt: &str) -> Vec<String> {
    const PAIRS: [(char, char); 5] =
        [('"', '"'), ('\u{201c}', '\u{201d}'), ('\u{ab}', '\u{bb}'), ('\'', '\''), ('\u{2018}', '\u{2019}')];
    let chars: Vec<char> = prompt.chars().collect();
    let is_word = |at: Option<&char>| at.is_some_and(|c| c.is_alphanumeric());
    let mut found = vec![];
    let mut at = 0;
    while at < chars.len() {
        let pair = PAIRS.iter().find(|(open, _)| *open == chars[at]);
        let opens = pair.filter(|_| at == 0 || !is_word(chars.get(at - 1)));
        let Some((_, close)) = opens else {
            at += 1;
            continue;
        };
        let end = (at + 1..chars.len()).find(|i| chars[*i] == *close && !is_word(chars.get(i + 1)));
        match end {
            Some(end) => {
                found.push(chars[at + 1..end].iter().collect());
                at = end + 1;
            }
            None => at += 1,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_words_are_text_for_the_picture() {
        // S15, S126
        for yes in [
            "a professional logo for a coffee shop called 'Bean There', clean lines",
            "a sign that says \"OPEN ALL NIGHT\"",
            "a poster with the words \u{201c}Summer Sale\u{201d}",
        ] {
            assert!(asks_for_text(yes), "{yes}");
        }
        for no in [
            "a cat",
            "a sign that says \"OPEN\"",
            "the artist's studio and the dog's bowl",
            "an 80's party in the '90s style",
            "5\" nails",
        ] {
            assert!(!asks_for_text(no), "{no}");
        }
    }

    #[test]
    fn some_families_write_legibly() {
        assert!(writes_legibly("gpt-image-2.6-flare") && writes_legibly("ideogram-v2"));
        assert!(!writes_legibly("flux-1.1-pro") && !writes_legibly("sdxl-lightning"));
    }
}
