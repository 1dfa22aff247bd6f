//! [`Arguments`]: what a command line says about the runtime, the kubelet's own or that of k3s and
//! RKE2, which hand theirs on.

use std::path::PathBuf;

use super::setting::{Place, Setting};

/// What a command line, or a file that becomes one, says. Of a flag that stands twice the last one
/// counts, as for the kubelet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) runtime: Option<Setting>,
    pub(super) images: Option<Setting>,
    pub(super) config: Option<PathBuf>,
    pub(super) config_dir: Option<PathBuf>,
}

impl Arguments {
    /// Reads the arguments that stand at `place`.
    pub(super) fn read<'a>(arguments: impl Iterator<Item = &'a str>, place: &Place) -> Self {
        let mut read = Self::default();
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let Some(flag) = argument.strip_prefix("--") else { continue };
            match flag.split_once('=') {
                Some((name, value)) => read.take(name, value, place),
                None if is_known(flag) => {
                    if let Some(value) = arguments.next_if(|next| !next.starts_with("--")) {
                        read.take(flag, value, place);
                    }
                }
                None => {}
            }
        }
        read
    }

    /// Takes one setting by its name, with or without the dashes of a flag.
    pub(super) fn take(&mut self, name: &str, value: &str, place: &Place) {
        let value = value.trim().trim_matches(['"', '\'']);
        let setting = || {
            let place = place.clone();
            Some(Setting { endpoint: value.to_owned(), place, is_default: false })
        };
        match name.trim_start_matches("--") {
            _ if value.is_empty() => {}
            "container-runtime-endpoint" => self.runtime = setting(),
            "image-service-endpoint" => self.images = setting(),
            "config" => self.config = Some(PathBuf::from(value)),
            "config-dir" => self.config_dir = Some(PathBuf::from(value)),
            // k3s and RKE2: a flag for the kubelet, in one word.
            "kubelet-arg" => {
                if let Some((name, value)) =
                    value.split_once('=').filter(|(name, _)| *name != "kubelet-arg")
                {
                    self.take(name, value, place);
                }
            }
            _ => {}
        }
    }

    /// What these say, and where they say nothing what `below` does.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            runtime: self.runtime.or(below.runtime),
            images: self.images.or(below.images),
            config: self.config.or(below.config),
            config_dir: self.config_dir.or(below.config_dir),
        }
    }
}

fn is_known(flag: &str) -> bool {
    ["container-runtime-endpoint", "image-service-endpoint", "config", "config-dir", "kubelet-arg"]
        .contains(&flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Arguments {
        let place = Place { file: PathBuf::from("/proc/1/cmdline"), line: None };
        Arguments::read(line.split(' '), &place)
    }

    fn endpoint(setting: Option<&Setting>) -> Option<&str> {
        setting.map(|setting| setting.endpoint.as_str())
    }

    #[test]
    fn flags_are_read_in_both_forms_and_the_last_counts() {
        let read = read(
            "kubelet --config=/c.yaml --v 2 --container-runtime-endpoint unix:///a \
             --image-service-endpoint=unix:///i --container-runtime-endpoint=unix:///b",
        );
        assert_eq!(endpoint(read.runtime.as_ref()), Some("unix:///b"));
        assert_eq!(endpoint(read.images.as_ref()), Some("unix:///i"));
        assert_eq!(read.config, Some(PathBuf::from("/c.yaml")));
    }

    #[test]
    fn k3s_hands_on_what_is_for_the_kubelet() {
        let read = read("k3s server --kubelet-arg=container-runtime-endpoint=unix:///a");
        assert_eq!(endpoint(read.runtime.as_ref()), Some("unix:///a"));
        assert_eq!(read.images, None);
    }

    #[test]
    fn a_flag_without_a_value_says_nothing() {
        let read = read("kubelet --config --container-runtime-endpoint= --config-dir");
        assert_eq!(read, Arguments::default());
    }
}
