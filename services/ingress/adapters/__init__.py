"""What ingress needs from outside, kept by real things."""
