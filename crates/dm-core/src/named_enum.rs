/// Declares an enum whose variants have a name each, which is the same in JSON, in the
/// catalog, in requests and on the command line, and the error for a text that is none of
/// them. A new variant is one line here.
macro_rules! named_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$doc:meta])* $variant:ident = $text:literal,)+
        }
        $(#[$unknown_meta:meta])*
        pub struct $unknown:ident($reason:literal);
    ) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// The name in JSON, in requests and on the command line.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// The names of all of them, separated by commas.
            pub fn names() -> String {
                Self::ALL.map(Self::as_str).join(", ")
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $unknown;

            fn from_str(text: &str) -> Result<Self, $unknown> {
                let mut all = Self::ALL.into_iter();
                all.find(|known| known.as_str() == text).ok_or($unknown)
            }
        }

        $(#[$unknown_meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $unknown;

        impl std::fmt::Display for $unknown {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($reason, " ({})"), $name::names())
            }
        }

        impl std::error::Error for $unknown {}
    };
}

pub(crate) use named_enum;
