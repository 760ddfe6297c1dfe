"""What delivery needs from outside: name servers, remote servers, mailboxes."""
