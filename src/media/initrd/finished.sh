# shellcheck shell=sh
# dracut goes on when everything here succeeds.
false
