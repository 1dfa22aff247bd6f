//! Security profiles of a sandbox and of a container: one that is an OCI artifact is refused, since
//! nobody verified it (KEP-6061; `SecurityProfile.oci_ref`, which drafts call `oci_artifact_ref`).

use super::message::{bad_request, decode};
use crate::cri::Refusal;
use crate::proto::asked::SecurityProfile;
use crate::proxy::wire::{self, FieldStep};

/// `PodSandboxConfig.linux` and `ContainerConfig.linux`; in both, `.security_context`.
const SANDBOX_LINUX: u32 = 8;
const CONTAINER_LINUX: u32 = 15;
const SECURITY_CONTEXT: u32 = 2;
/// `LinuxSandboxSecurityContext.seccomp` and `.apparmor`.
const OF_SANDBOX: [u32; 2] = [9, 10];
/// `LinuxContainerSecurityContext.seccomp` and `.apparmor`.
const OF_CONTAINER: [u32; 2] = [15, 16];
/// `SecurityProfile.oci_ref`.
const OCI_REF: u32 = 3;
/// `SecurityProfile.ProfileType.OCI`.
const OCI: i32 = 3;

/// Refuses a profile that is an artifact, of the `PodSandboxConfig` at `config`.
///
/// # Errors
/// [`Refusal::ProfileArtifact`], or [`Refusal::BadRequest`] when it could be read in two ways.
pub(super) fn of_sandbox(message: &[u8], config: &[FieldStep]) -> Result<(), Refusal> {
    none_is_an_artifact(message, config, (SANDBOX_LINUX, OF_SANDBOX))
}

/// The same of the `ContainerConfig` at `config`.
///
/// # Errors
/// As [`of_sandbox`].
pub(super) fn of_container(message: &[u8], config: &[FieldStep]) -> Result<(), Refusal> {
    none_is_an_artifact(message, config, (CONTAINER_LINUX, OF_CONTAINER))
}

fn none_is_an_artifact(
    message: &[u8],
    config: &[FieldStep],
    (linux, profiles): (u32, [u32; 2]),
) -> Result<(), Refusal> {
    for field in profiles {
        let steps = [linux, SECURITY_CONTEXT, field].map(FieldStep::only);
        let path: Vec<FieldStep> = config.iter().copied().chain(steps).collect();
        let Some(profile) = wire::bytes_at(message, &path).map_err(bad_request)? else { continue };
        let reference = wire::string_at(profile, &[FieldStep::only(OCI_REF)]);
        let reference = reference.map_err(bad_request)?.unwrap_or_default();
        let decoded: SecurityProfile = decode(profile)?;
        if !reference.is_empty() || decoded.profile_type == OCI {
            return Err(Refusal::ProfileArtifact { reference: reference.to_owned() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field that holds a message.
    fn within(field: u32, content: &[u8]) -> Vec<u8> {
        wire::put(b"", &[FieldStep::only(field)], content).unwrap().to_vec()
    }

    fn profile(of: (u32, u32), content: &[u8]) -> Vec<u8> {
        within(1, &within(of.0, &within(SECURITY_CONTEXT, &within(of.1, content))))
    }

    /// Attack F: an artifact that a pod names for its seccomp or AppArmor profile.
    #[test]
    fn attack_f_a_profile_that_is_an_artifact_is_refused() {
        let config = [FieldStep::only(1)];
        let named = within(OCI_REF, b"reg.example/profile@sha256:0");
        let typed = [0x08, 0x03];
        for content in [&named[..], &typed[..]] {
            for field in OF_SANDBOX {
                let message = profile((SANDBOX_LINUX, field), content);
                let got = of_sandbox(&message, &config);
                assert!(matches!(got, Err(Refusal::ProfileArtifact { .. })), "{field}");
            }
            for field in OF_CONTAINER {
                let message = profile((CONTAINER_LINUX, field), content);
                let got = of_container(&message, &config);
                assert!(matches!(got, Err(Refusal::ProfileArtifact { .. })), "{field}");
            }
        }
        let twice = [named.clone(), within(OCI_REF, b"")].concat();
        let got = of_sandbox(&profile((SANDBOX_LINUX, 9), &twice), &config);
        assert!(matches!(got, Err(Refusal::BadRequest { .. })));
    }

    #[test]
    fn profiles_of_the_node_pass() {
        let config = [FieldStep::only(1)];
        let local = [&[0x08, 0x02][..], &within(2, b"/profiles/\xff")].concat();
        for content in [&local[..], &[0x08, 0x00], &[0x08, 0x01], b""] {
            assert!(of_sandbox(&profile((SANDBOX_LINUX, 9), content), &config).is_ok());
            assert!(of_container(&profile((CONTAINER_LINUX, 15), content), &config).is_ok());
        }
        assert!(of_sandbox(b"", &config).is_ok());
    }
}
