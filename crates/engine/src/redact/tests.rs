use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::*;

const KEY: &str = "sk-Proj_0aB9?xY/z+7Q";
const OTHER: &str = "0a1b2c3d-4e5f:deadBEEFcafe01";

fn redactor() -> Redactor {
    Redactor::new([Key::new(KEY), Key::new(OTHER), Key::new("short"), Key::new("http://127.0.0.1:7860")])
}

fn cleaned(text: &str) -> String {
    let mut text = text.to_owned();
    redactor().clean(&mut text);
    text
}

fn cleaned_excerpt(text: &str) -> String {
    let mut text = text.to_owned();
    redactor().clean_excerpt(&mut text);
    text
}

/// Every form in which a service may repeat a secret.
fn forms(secret: &str) -> Vec<String> {
    let each = |write: fn(u8) -> String| secret.bytes().map(write).collect::<String>();
    let every_other = |write: fn(u8) -> String| {
        let half = |(n, b): (usize, u8)| if n % 2 == 0 { write(b) } else { char::from(b).to_string() };
        secret.bytes().enumerate().map(half).collect::<String>()
    };
    let mut forms = vec![
        secret.to_owned(),
        secret.to_uppercase(),
        secret.to_lowercase(),
        format!("Bearer {secret}"),
        each(|b| format!("%{b:02x}")),
        each(|b| format!("%{b:02X}")),
        each(|b| format!("%25{b:02X}")),
        each(|b| format!("\\u{b:04x}")),
        each(|b| format!("\\u{b:04X}")),
        each(|b| format!("\\\\u{b:04x}")),
        each(|b| format!("\\u{{{b:x}}}")),
        each(|b| format!("\\x{b:02x}")),
        each(|b| format!("&#{b};")),
        each(|b| format!("&#x{b:X};")),
        each(|b| format!("{b:02x}")),
        each(|b| format!("{b:02X}")),
        every_other(|b| format!("%{b:02x}")),
        every_other(|b| format!("\\u{b:04x}")),
        every_other(|b| format!("&#{b};")),
        secret.to_uppercase().replace('/', "\\/"),
        secret.replace('/', "%2F").replace('+', "%2b").replace(':', "%3A"),
        [&secret[..7], "\n    ", &secret[7..]].concat(),
    ];
    for before in ["", "u", "u:", "user:", "Basic user:"] {
        for after in ["", "\n", "; path=/", "!!"] {
            let text = [before, secret, after].concat();
            for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text), STANDARD_NO_PAD.encode(&text)] {
                forms.push(encoded.replace('+', "%2B").replace('=', "%3D"));
                forms.push(encoded.replace('/', "\\/"));
                forms.push(encoded);
            }
        }
    }
    forms
}

/// The longest part of a secret's plain, hexadecimal or base64 form that a text still has.
fn left(text: &str, secret: &str) -> usize {
    let parts = |form: &str, text: &str| {
        (1..=form.len())
            .rev()
            .find(|n| {
                (0..=form.len() - n).any(|at| form.is_char_boundary(at) && text.contains(&form[at..at + n]))
            })
            .unwrap_or(0)
    };
    parts(&secret.to_lowercase(), &text.to_lowercase())
}

#[test]
fn a_key_is_taken_out_in_every_form() {
    for secret in [KEY, OTHER, "deadBEEFcafe01"] {
        for form in forms(secret) {
            for text in [
                form.clone(),
                format!("the key '{form}' is wrong, and {form}"),
                format!("{{\"detail\":\"{form}\"}}"),
            ] {
                let clean = cleaned(&text);
                assert!(clean.contains("***"), "{text} -> {clean}");
                assert!(left(&clean, secret) < 6, "{text} -> {clean}");
                assert!(!clean.contains(&form), "{text} -> {clean}");
            }
        }
    }
}

#[test]
fn what_is_no_key_stays_as_it_is() {
    for text in [
        "",
        "short",
        "http://127.0.0.1:7860/view?filename=a.png",
        "100% of 5 %zz \\u00zz &#xzz; &nope; \\",
        "sk-Proj_0aB9?xY",
        "a prompt about 0a1b2c3d",
        "d\u{e9}j\u{e0} vu \u{1f600} %C3%A9",
        "&#99999999999; &#x110000; \\ud800",
    ] {
        assert_eq!(cleaned(text), text);
    }
    assert_eq!(cleaned(&format!("\u{e9}{KEY}\u{e9}")), "\u{e9}***\u{e9}");
    let none = Redactor::new([Key::new("short"), Key::new("")]);
    assert_eq!(none.cleaned(KEY.as_bytes()), None);
}

#[test]
fn a_key_that_was_cut_is_taken_out_too() {
    for n in SHORTEST_START..KEY.len() {
        for end in ["", "\u{2026}", "...", "%", "%7", "\\u00", "\""] {
            let clean = cleaned_excerpt(&format!("the key is {}{end}", &KEY[..n]));
            assert!(clean.starts_with("the key is ***"), "{n} {end}: {clean}");
        }
        let encoded: String = KEY[..n].bytes().map(|b| format!("\\u{b:04x}")).collect();
        assert!(cleaned_excerpt(&encoded).starts_with("***"), "{n}");
    }
    let encoded = STANDARD.encode(format!("user:{KEY}"));
    let cut = &encoded[..encoded.len() - 8];
    assert_eq!(cleaned_excerpt(cut), format!("{}***", &encoded[..7]));
}

#[test]
fn a_key_of_before_is_still_taken_out() {
    let before = Redactor::new([Key::new("the-old-key")]);
    let now = before.with([Key::new("the-new-key")]);
    for key in ["the-old-key", "the-new-key"] {
        assert!(now.covers(&Key::new(key)));
        assert_eq!(now.cleaned(key.as_bytes()).as_deref(), Some(b"***".as_slice()));
    }
    assert!(!before.covers(&Key::new("the-new-key")) && before.covers(&Key::new("short")));
}

#[test]
fn no_text_takes_long() {
    // What takes longest: nothing but escapes, nothing but beginnings of keys, and of escapes.
    let key = KEY.repeat(3);
    let redactor = Redactor::new([Key::new(&key), Key::new(KEY)]);
    for unit in ["%", "%25", "\\u00", "\\", "&#", "&#x", "sk-Proj_0aB9?xY/z+7", "\\u0073", KEY] {
        let text = unit.repeat((256 << 10) / unit.len());
        let clean = redactor.cleaned(text.as_bytes()).unwrap_or_default();
        assert!(clean.len() <= text.len());
    }
}
