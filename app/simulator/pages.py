"""The look of the paper exchange's login pages, whatever the broker."""

from __future__ import annotations

import html
from collections.abc import Mapping

from aiohttp import web

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
_STYLE = """
*{box-sizing:border-box}html,body{height:100%}body{margin:0;background:#0d1117;color:#e6edf3;display:flex;
align-items:center;justify-content:center;font:15px/1.45 "Segoe UI",system-ui,-apple-system,"Noto Sans",sans-serif}
main{width:min(380px,92vw);background:#161b22;border:1px solid #2b323b;border-radius:12px;padding:32px 32px 26px;
box-shadow:0 16px 48px rgba(0,0,0,.45)}
.mark{display:flex;align-items:center;gap:10px;color:#8b949e;font-size:12px;letter-spacing:.09em;
text-transform:uppercase}.mark i{width:10px;height:10px;border-radius:3px;background:#f0a33a;display:block}
h1{font-size:21px;font-weight:600;margin:14px 0 4px}p{margin:0 0 20px;color:#9aa4af}
label{display:block;font-size:13px;color:#9aa4af;margin:14px 0 6px}
input{width:100%;padding:11px 12px;font:inherit;color:inherit;background:#0d1117;border:1px solid #323a44;
border-radius:8px;outline:none}input:focus{border-color:#4c8dff;box-shadow:0 0 0 3px rgba(76,141,255,.22)}
#totp,#pin{letter-spacing:.35em;font-variant-numeric:tabular-nums;font-size:19px;text-align:center}
.error{background:#3a1a1d;border:1px solid #7c2b31;color:#ffb4b4;border-radius:8px;padding:9px 12px;margin:0 0 6px}
.buttons{display:flex;gap:10px;margin-top:24px}button{flex:1;padding:11px 12px;font:inherit;font-weight:600;
border-radius:8px;border:1px solid transparent;cursor:pointer}
.go{background:#2f6fed;color:#fff}.go:hover{background:#3d7bf5}
.no{flex:0 0 34%;background:transparent;color:#9aa4af;border-color:#323a44}.no:hover{color:#e6edf3}
footer{margin-top:22px;font-size:12px;color:#6e7781}
"""


def page(title: str, body: str, *, status: int = 200) -> web.Response:
    """A whole page."""
    text = f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title} – Paper exchange</title>
<style>{_STYLE}</style></head><body><main><div class="mark"><i></i>Paper exchange</div><h1>{title}</h1>{body}
<footer>Play money on this machine. Nothing is sent to a real broker.</footer></main></body></html>"""
    return web.Response(text=text, content_type="text/html", status=status, headers=_HEADERS)


def field(
    name: str,
    label: str,
    *,
    value: str = "",
    autocomplete: str = "off",
    numeric: bool = False,
    secret: bool = False,
) -> str:
    """One labelled input that has the focus."""
    kind = 'type="password" ' if secret else ""
    digits = 'inputmode="numeric" maxlength="6" ' if numeric else ""
    return f"""
<label for="{name}">{html.escape(label)}</label>
<input id="{name}" name="{name}" {kind}{digits}autocomplete="{autocomplete}" required autofocus
value="{html.escape(value)}">"""


def form_page(
    action: str, title: str, words: str, fields: str, hidden: Mapping[str, str], go: str, error: str, status: int
) -> web.Response:
    """A page with a form, what it passes on, and a way out."""
    box = f'<div class="error" id="error" role="alert">{html.escape(error)}</div>' if error else ""
    kept = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(value)}">\n' for name, value in hidden.items()
    )
    return page(
        title,
        f"""<p>{words}</p>{box}<form method="post" action="{action}">{fields}
{kept}<div class="buttons"><button class="go" id="submit" type="submit">{go}</button>
<button class="no" id="cancel" type="submit" name="action" value="cancel" formnovalidate>Cancel</button></div>
</form>""",
        status=status,
    )
