//! Which options make another image.
//!
//! Each option is declared here, and one that is not does not compile: an option that was forgotten would keep an image
//! that ought to be built anew.

use super::InstallOptions;

/// Declares of every option whether it makes another image, or another paper beside it.
macro_rules! effects {
    (image: $($image:ident)*; none: $($none:ident)*;) => {
        /// The options that make another image or another paper beside it, with what they are set to. Left out
        /// is what stands as it would without them.
        pub fn of_image(options: &InstallOptions) -> Vec<(String, String)> {
            // Without `..`: no option may be missing.
            let InstallOptions { $($image,)* $($none: _,)* } = options;
            let mut all = Vec::new();
            let usual = InstallOptions::default();
            $(
                if *$image != usual.$image {
                    all.push((stringify!($image).replace('_', "-"), format!("{:?}", $image)));
                }
            )*
            all
        }

        /// The options that make no other image.
        #[cfg(test)]
        const NONE: &[&str] = &[$(stringify!($none)),*];
    };
}

effects! {
    image:
        // What is installed, and what is added to it.
        set variables verbatim no_customize deliver seal_except no_seal portable locked
        // What is made of it, and what lies beside it.
        name checksum_key repository_key from keep_builds format compress xml sbom sign builder_id generate_icicle icicle
        // The machine: the installer looks at all of it, and so may a script.
        memory disk firmware secure_boot firmware_code firmware_vars tpm network mac_address network_device
        disk_bus accel
        // What an image must be like to be published.
        boot_test;
    none:
        // Compared by their content, or by what comes of them.
        kickstart iso checksum root_password ssh_key luks_passphrase
        // The usual, said in words.
        customize seal
        // Where things are, how they are got and shown, how long it may take.
        output_dir output force report keep connect storage_pool vcpus serve_address serve_ports timeout max_guests retries
        stall_limit cleanup relay package_cache cache_size offline refetch cache_dir state_dir progress cacert client_cert client_key
        client_cert_host file_root min_rate download_timeout check notes if_changed rebuild require_kvm on_success
        on_failure hook_timeout;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::config;

    #[test]
    fn what_makes_another_image_shows_and_the_rest_does_not() {
        let of = |text: &str| of_image(&config::parse(text, "t").unwrap());
        assert_eq!(of(""), []);
        let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            of("memory = 2048"),
            [owned("memory", "Some(Mebibytes(2048))")]
        );
        assert_eq!(
            of("no-seal = true\nformat = [\"raw\"]"),
            [owned("no-seal", "true"), owned("format", "[Raw]")]
        );
        assert_eq!(of("timeout = \"1h\"\nforce = true\nvcpus = 3"), []);
        assert_ne!(of("[boot-test]\nalways = true"), []);
        assert!(NONE.contains(&"timeout") && !NONE.contains(&"memory"));
    }
}
