//! The key that the nodes of a private network have in common.

use std::{fmt, fs, path::Path};

use libp2p::pnet::PreSharedKey;

/// 256 bits that both ends of every connection must know, in the form of
/// go-libp2p's `swarm.key`: `/key/swarm/psk/1.0.0/`, `/base16/`, and 64
/// hexadecimal digits, each on a line of its own. `Debug` shows its
/// fingerprint alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SwarmKey(PreSharedKey);

impl SwarmKey {
    /// Reads a key file; what is wrong with it is told without its content.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text =
            fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Self::parse(&text).ok_or_else(|| {
            format!(
                "{} is no swarm key: three lines are expected, /key/swarm/psk/1.0.0/, /base16/ and 64 \
                 hexadecimal digits",
                path.display()
            )
        })
    }

    /// libp2p's own reader takes signs for digits and panics on some texts.
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let ["/key/swarm/psk/1.0.0/", "/base16/", digits] = lines.as_slice() else {
            return None;
        };
        let pairs = digits.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs.0.iter().map(|pair| byte(*pair)).collect();
        let key: [u8; 32] = bytes?.try_into().ok()?;
        pairs.1.is_empty().then(|| Self(PreSharedKey::new(key)))
    }

    pub(crate) fn pre_shared(self) -> PreSharedKey {
        self.0
    }
}

fn byte([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

impl fmt::Debug for SwarmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SwarmKey")
            .field(&self.0.fingerprint().to_string())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(digits: &str) -> String {
        format!("/key/swarm/psk/1.0.0/\n/base16/\n{digits}\n")
    }

    #[test]
    fn a_key_is_read_as_libp2p_writes_it() {
        let key = PreSharedKey::new(std::array::from_fn(|n| n as u8 * 7));
        assert_eq!(SwarmKey::parse(&key.to_key_file()), Some(SwarmKey(key)));
        let windows = key.to_key_file().to_uppercase().replace('\n', "\r\n");
        let windows = windows.replace("/KEY/SWARM/PSK/", "/key/swarm/psk/");
        let windows = windows.replace("/BASE16/", "/base16/");
        assert_eq!(SwarmKey::parse(&windows), Some(SwarmKey(key)));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let digits = "ab".repeat(32);
        for text in [
            String::new(),
            digits.clone(),
            file(""),
            file(&digits[1..]),
            file(&digits[2..]),
            file(&format!("{digits}ab")),
            file(&format!("{digits}a")),
            file(&format!("+f{}", &digits[2..])),
            file(&"é".repeat(32)),
            file(&digits).replace("base16", "base64"),
            file(&digits).replace("1.0.0", "2.0.0"),
            format!("{}more\n", file(&digits)),
        ] {
            assert_eq!(SwarmKey::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn debug_shows_no_digit_of_the_key() {
        let key = SwarmKey::parse(&file(&"ab".repeat(32))).unwrap();
        assert!(!format!("{key:?}").contains("abab"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,80}") {
            let _ = SwarmKey::parse(&file(&text));
            let _ = SwarmKey::parse(&text);
        }
    }
}
