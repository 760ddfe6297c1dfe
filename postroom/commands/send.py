"""`postroom send`: a test message, by plain SMTP."""

import smtplib
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from typing import Annotated

from cyclopts import Parameter

from kernel.settings import host_and_port
from postroom.errors import RefusedError, UnreachableError
from postroom.settings import CommandSettings

PATIENCE = 60.0


def send(
    *,
    sender: Annotated[str, Parameter(name="--from")],
    to: list[str],
    subject: str = "A test",
    body: str = "This is a test.",
    server: str = "",
    login: str = "",
    password: str = "",
) -> None:
    """Send a test message.

    Parameters
    ----------
    sender
        Its sender.
    to
        Its recipients; give the option once for each.
    subject
        Its subject.
    body
        Its text.
    server
        HOST:PORT; the listener `mx` of the server here if not given.
    login
        Log in first, under STARTTLS. The certificate is not checked: this is a test.
    password
        The password for it.

    """
    host, port = host_and_port(server or CommandSettings().smtp)
    message = _message(sender, to, subject, body)
    try:
        with smtplib.SMTP(host, port, timeout=PATIENCE) as smtp:
            if login:
                smtp.starttls(context=_trusting())
                smtp.login(login, password)
            print(_converse(smtp, sender, to, message.as_bytes()))
    except smtplib.SMTPResponseException as error:
        raise RefusedError(_reply(error.smtp_code, error.smtp_error)) from error
    except smtplib.SMTPException as error:
        raise RefusedError(str(error)) from error
    except OSError as error:
        raise UnreachableError(f"no answer from {host}:{port} ({error})") from error


def _message(sender: str, to: list[str], subject: str, body: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Subject"] = subject
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message.set_content(body)
    return message


def _converse(smtp: smtplib.SMTP, sender: str, to: list[str], message: bytes) -> str:
    """Send ``message``, and return the server's last word: it names the mail's id."""
    smtp.ehlo_or_helo_if_needed()
    _expect(smtp.mail(sender))
    for recipient in to:
        _expect(smtp.rcpt(recipient))
    return _reply(*_expect(smtp.data(message)))


def _expect(answer: tuple[int, bytes]) -> tuple[int, bytes]:
    if answer[0] >= 400:  # noqa: PLR2004 - RFC 5321 §4.2.1
        raise smtplib.SMTPResponseException(*answer)
    return answer


def _reply(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(words.split())}"


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
