# shellcheck shell=sh disable=SC2034
# dracut wants to know the root, and anaconda's hooks look for an installer where nobody knows it.
root=ozr
rootok=1
