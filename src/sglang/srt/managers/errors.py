"""What goes wrong with a request, as types with messages for people."""

from __future__ import annotations


class RequestError(ValueError):
    """A request that cannot be served. The message is fit for the user's eyes.

    ``status`` is the HTTP status it corresponds to; ``param`` names the offending field;
    ``code`` is a stable word for programs.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code


class NotImplementedYetError(RequestError):
    """The request asks for something documented that does not exist yet."""

    def __init__(self, what: str, *, param: str | None = None, status: int = 400) -> None:
        super().__init__(
            f"{what} is not implemented yet", status=status, param=param, code="not_implemented"
        )
