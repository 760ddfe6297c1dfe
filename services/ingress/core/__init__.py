"""The SMTP server without its sockets: octets and answers in, effects out."""
