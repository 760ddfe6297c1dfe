"""The kernel: vocabulary and mechanisms that every service shares; it knows no policy."""
