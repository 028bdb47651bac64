//! Texts of contracts and chains, made fit to be shown.

/// Longest text of a chain that is passed on, in characters.
const MAX_TEXT: usize = 300;
/// Longest name or symbol of a token, in characters.
const MAX_NAME: usize = 64;

/// The text with a replacement for each character that moves the cursor, hides
/// itself, or turns the direction of what follows.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if is_harmless(c) { c } else { '\u{fffd}' })
        .collect()
}

fn is_harmless(c: char) -> bool {
    let is_invisible = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !is_invisible
}

/// The beginning of a text that came from outside.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// Reads what a token answers to `name` or `symbol`: a string as ERC-20 says,
/// or 32 bytes as old tokens have it. `None` where it is neither, or empty.
pub(crate) fn token_text(answer: &[u8]) -> Option<String> {
    let bytes = match answer.len() {
        32 => &answer[..answer.iter().position(|byte| *byte == 0).unwrap_or(32)],
        _ => string(answer)?,
    };
    let text: String = String::from_utf8_lossy(bytes)
        .trim()
        .chars()
        .take(MAX_NAME)
        .collect();
    Some(printable(&text)).filter(|text| !text.is_empty())
}

/// The bytes of an ABI-encoded string; only as many as are there.
fn string(answer: &[u8]) -> Option<&[u8]> {
    let offset = number(answer.get(..32)?)?;
    let body = answer.get(offset..)?;
    let length = number(body.get(..32)?)?;
    let content = &body[32..];
    Some(&content[..length.min(content.len())])
}

/// A number of bytes, where it is one that can occur here.
fn number(word: &[u8]) -> Option<usize> {
    let (high, low) = word.split_at(24);
    let is_small = high.iter().all(|byte| *byte == 0);
    let low = u64::from_be_bytes(low.try_into().ok()?);
    usize::try_from(low).ok().filter(|_| is_small)
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strings_and_32_bytes_are_read() {
        assert_eq!(
            token_text(&"Dai Stablecoin".abi_encode()).as_deref(),
            Some("Dai Stablecoin")
        );
        let mut maker = [0; 32];
        maker[..3].copy_from_slice(b"MKR");
        assert_eq!(token_text(&maker).as_deref(), Some("MKR"));
    }

    #[test]
    fn what_is_missing_or_empty_is_no_name() {
        for answer in [&[][..], &[0; 32], &"".abi_encode(), &" ".abi_encode(), &[1; 31]] {
            assert_eq!(token_text(answer), None);
        }
    }

    #[test]
    fn a_long_name_is_cut_and_a_tricky_one_defused() {
        let long = token_text(&"x".repeat(5000).abi_encode()).unwrap();
        assert_eq!(long.chars().count(), MAX_NAME);
        let tricky = token_text(&"U\u{202e}SD\u{1b}[31m\n".abi_encode()).unwrap();
        assert_eq!(tricky, "U\u{fffd}SD\u{fffd}[31m");
    }

    proptest! {
        #[test]
        fn any_answer_becomes_a_short_harmless_text_or_none(answer: Vec<u8>) {
            if let Some(text) = token_text(&answer) {
                prop_assert!(text.chars().count() <= MAX_NAME && text.chars().all(is_harmless));
            }
        }
    }
}
