# shellcheck shell=sh
# An interface has come up.
read -r ozr_words </proc/cmdline
case " $ozr_words " in
    *' ozr.image='*) /bin/sh /ozr/run ;;
esac
