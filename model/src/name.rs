//! Names that travel as metric labels, table keys and CLI arguments, each a type of its own.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the name as it is written in the contract or on the command line.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }
    };
}

name!(
    /// A GraphQL object type that has a home on each side, such as `StockLevel`.
    EntityName
);
name!(
    /// A field of an entity type, such as `onHand`.
    FieldName
);
name!(
    /// Routes and entities that move together, such as `inventory`.
    GroupName
);
name!(
    /// One root field, written `Query.stockLevel` or `Mutation.adjustStock`.
    RouteName
);
name!(
    /// One running `strangler serve` process; unique in the fleet.
    ReplicaId
);

impl GroupName {
    /// Whether the name is kept for strangler's own use: no contract and no operator has such a group.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("strangler:")
    }
}
