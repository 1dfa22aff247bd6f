//! [`DenyList`]: how the deny lists stand that are fetched, by the names that the configuration
//! gives them.

use super::exposition::{count_of, family};

/// How one list stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DenyList {
    /// Its name in the configuration.
    pub name: String,
    /// The version in force; 0 for none.
    pub version: u64,
    /// When it expires, in seconds since 1970; 0 for none.
    pub expires: f64,
    /// When its source last gave it, in seconds since 1970; 0 for never.
    pub fetched: f64,
    /// Whether the last fetch failed.
    pub failed: bool,
}

impl DenyList {
    pub(super) fn write(lists: &[Self], text: &mut String) {
        let each = |value: fn(&Self) -> f64| {
            lists.iter().map(move |list| (vec![("list", list.name.as_str())], value(list)))
        };
        let help = "The version of a fetched deny list that is in force, 0 for none.";
        family(text, "sealgate_deny_list_version", "gauge", help, each(|l| count_of(l.version)));
        let help =
            "When a fetched deny list expires, in seconds since 1970. It denies all the same.";
        let name = "sealgate_deny_list_expiry_timestamp_seconds";
        family(text, name, "gauge", help, each(|list| list.expires));
        let help = "When the source of a deny list last gave it, in seconds since 1970.";
        let name = "sealgate_deny_list_fetched_timestamp_seconds";
        family(text, name, "gauge", help, each(|list| list.fetched));
        let help = "1 when the last fetch of a deny list failed or was refused.";
        let name = "sealgate_deny_list_fetch_failed";
        family(text, name, "gauge", help, each(|list| f64::from(u8::from(list.failed))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_told_of_by_its_name() {
        let mut text = String::new();
        let list =
            DenyList { name: "fleet".to_owned(), version: 7, failed: true, ..DenyList::default() };
        DenyList::write(&[list], &mut text);
        for line in [
            "sealgate_deny_list_version{list=\"fleet\"} 7\n",
            "sealgate_deny_list_fetch_failed{list=\"fleet\"} 1\n",
            "sealgate_deny_list_fetched_timestamp_seconds{list=\"fleet\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
