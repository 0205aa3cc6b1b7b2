# install_packages NAME...: by the image's own package manager; @NAME is a group, @^NAME an environment.
install_packages() {
    for manager in dnf dnf5 microdnf yum; do
        command -v "$manager" >/dev/null 2>&1 || continue
        "$manager" -y install "$@" </dev/null || fail "installing the template's packages failed: $manager ended with exit status $?"
        return 0
    done
    fail "the image has neither dnf nor yum to install the template's packages with"
}
