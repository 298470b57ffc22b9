//! Vocabularies: enums whose values are words on the wire.

/// Declares an enum of wire words that may grow: a word of a later version decodes to `Unknown`,
/// which a consumer ignores and a producer never says.
macro_rules! vocabulary {
    (
        $(#[$meta:meta])* pub enum $Name:ident {
            $( $(#[$doc:meta])* $Variant:ident = $word:literal ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        pub enum $Name {
            $( $(#[$doc])* #[serde(rename = $word)] $Variant, )+
            /// A word this version does not know. Never sent; ignore what carries it.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl $Name {
            /// Every word this version says, in the order of declaration.
            pub const ALL: &'static [Self] = &[ $( Self::$Variant ),+ ];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$Variant => $word, )+
                    Self::Unknown => "unknown",
                }
            }

            /// The value a word stands for, or `None` for a word this version does not know.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $( $word => Some(Self::$Variant), )+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use vocabulary;
