# shellcheck shell=sh
# Drivers are loaded, disks are there. An image that comes from an address waits for the network.
read -r ozr_words </proc/cmdline
case " $ozr_words " in
    *' ozr.image='*) ;;
    *) /bin/sh /ozr/run ;;
esac
