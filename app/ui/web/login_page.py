"""The broker's login page in an embedded browser: off the record, hosts on a list, the redirect caught and not loaded.

Imported when a login is asked for, never before: QtWebEngine starts processes of its own.
"""

from __future__ import annotations

import ipaddress
import logging
from pathlib import Path

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from PySide6.QtCore import QObject, QUrl, Signal
from PySide6.QtWebEngineCore import (
    QWebEngineCertificateError,
    QWebEngineDownloadRequest,
    QWebEngineLoadingInfo,
    QWebEnginePage,
    QWebEnginePermission,
    QWebEngineProfile,
    QWebEngineSettings,
    QWebEngineUrlRequestInfo,
    QWebEngineUrlRequestInterceptor,
)
from PySide6.QtWebEngineWidgets import QWebEngineView
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.desk.messages import LoginPage
from app.ui.web.rules import LOOPBACK, is_allowed, is_redirect

log = logging.getLogger(__name__)


class LoginBrowser(QWidget):
    """Shows one login page until it redirects. One attempt each: a new attempt takes a new browser.

    GUI thread. `close_browser` before it is deleted: Qt wants pages gone before their profile.
    """

    arrived = Signal(str)
    """The full address that the page was sent to, once. It was not loaded."""
    loaded = Signal(bool)
    """A page finished loading; False when it could not be."""
    blocked = Signal(str)
    """A host that is not on the list was asked for; nothing was sent."""

    def __init__(self, page: LoginPage, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._login = page
        self._done = False
        self._closed = False
        self._profile = _off_the_record(self)
        self._gate = _Gate(page, self)
        self._gate.redirected.connect(self._on_redirect)
        self._gate.blocked.connect(self.blocked)
        self._profile.setUrlRequestInterceptor(self._gate)
        self._profile.downloadRequested.connect(_refuse_download)
        self._page = _Page(page, self._profile, self)
        self._page.redirected.connect(self._on_redirect)
        self._page.blocked.connect(self.blocked)
        self._page.loadingChanged.connect(self._on_loading)
        self._view = QWebEngineView(self)
        self._view.setObjectName("login.browser")
        self._view.setAccessibleName("The broker's login page")
        self._view.setPage(self._page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._view)
        self.setFocusProxy(self._view)

    @property
    def view(self) -> QWebEngineView:
        """The page on the screen."""
        return self._view

    def start(self) -> None:
        """Loads the login page."""
        self._page.setUrl(QUrl(self._login.url))

    def close_browser(self) -> None:
        """Forgets everything that the page left in memory. A second call does nothing."""
        if self._closed:
            return
        self._closed = self._done = True
        self._page.triggerAction(QWebEnginePage.WebAction.Stop)
        self._view.hide()
        profile, view = self._profile, self._view
        profile.setParent(None)
        self._page.destroyed.connect(profile.deleteLater)
        view.deleteLater()
        self._page.setParent(None)
        self._page.deleteLater()

    def _on_redirect(self, url: str) -> None:
        if not self._done:
            self._done = True
            self.arrived.emit(url)

    def _on_loading(self, info: QWebEngineLoadingInfo) -> None:
        status = info.status()
        if self._done or status is QWebEngineLoadingInfo.LoadStatus.LoadStartedStatus:
            return
        if status is QWebEngineLoadingInfo.LoadStatus.LoadStoppedStatus:
            return
        self.loaded.emit(status is QWebEngineLoadingInfo.LoadStatus.LoadSucceededStatus)


class _Gate(QWebEngineUrlRequestInterceptor):
    """Sees every request before it leaves, also pictures, scripts and the steps of a redirect."""

    redirected = Signal(str)
    blocked = Signal(str)

    def __init__(self, page: LoginPage, parent: QObject) -> None:
        super().__init__(parent)
        self._login = page

    def interceptRequest(self, info: QWebEngineUrlRequestInfo) -> None:
        """Qt."""
        url = info.requestUrl()
        if is_redirect(url, self._login.redirect_url):
            info.block(True)
            self.redirected.emit(url.toString(QUrl.ComponentFormattingOption.FullyEncoded))
        elif not is_allowed(url, self._login.allowed_hosts):
            info.block(True)
            log.info("login page: a request to %s was blocked", url.host())
            self.blocked.emit(url.host())


class _Page(QWebEnginePage):
    """Navigates only where the login may go; opens no window, grants nothing."""

    redirected = Signal(str)
    blocked = Signal(str)

    def __init__(self, page: LoginPage, profile: QWebEngineProfile, parent: QObject) -> None:
        super().__init__(profile, parent)
        self._login = page
        self.certificateError.connect(self._on_certificate)
        self.permissionRequested.connect(_refuse_permission)

    def acceptNavigationRequest(
        self,
        url: QUrl | str,
        kind: QWebEnginePage.NavigationType,  # noqa: ARG002  Qt calls it so
        is_main_frame: bool,
    ) -> bool:
        """Qt."""
        address = QUrl(url)
        if is_redirect(address, self._login.redirect_url):
            if is_main_frame:
                self.redirected.emit(address.toString(QUrl.ComponentFormattingOption.FullyEncoded))
            return False
        if is_allowed(address, self._login.allowed_hosts):
            return True
        self.blocked.emit(address.host())
        return False

    def createWindow(self, kind: QWebEnginePage.WebWindowType) -> QWebEnginePage | None:  # type: ignore[override]  # noqa: ARG002  Qt takes null for "no window"
        """Qt. No pop-ups."""
        return None

    def javaScriptConsoleMessage(
        self, level: QWebEnginePage.JavaScriptConsoleMessageLevel, message: str, line: int, source: str
    ) -> None:
        """Qt. A page's own messages may carry what was typed into it: they go nowhere."""

    def _on_certificate(self, error: QWebEngineCertificateError) -> None:
        """A private authority is taken only for its own chain, on loopback, as the account's endpoints name it."""
        if self._login.ca_file and _is_of(error, Path(self._login.ca_file)):
            error.acceptCertificate()
        else:
            error.rejectCertificate()


def _is_of(error: QWebEngineCertificateError, ca_file: Path) -> bool:
    host = error.url().host()
    unknown_authority = QWebEngineCertificateError.Type.CertificateAuthorityInvalid
    if host not in LOOPBACK or error.type() is not unknown_authority or not error.isOverridable():
        return False
    try:
        authority = x509.load_pem_x509_certificates(ca_file.read_bytes())
        chain = [
            x509.load_pem_x509_certificate(bytes(certificate.toPem().data()))
            for certificate in error.certificateChain()
            if not certificate.isNull()
        ]
        subject: x509.IPAddress | x509.DNSName
        try:
            subject = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            subject = x509.DNSName(host)
        verifier = PolicyBuilder().store(Store(authority)).build_server_verifier(subject)
        verifier.verify(chain[0], chain[1:])
    except (OSError, ValueError, IndexError, VerificationError) as refusal:
        log.warning("login page: the certificate of %s was refused: %s", host, type(refusal).__name__)
        return False
    return True


def _off_the_record(parent: QObject) -> QWebEngineProfile:
    """A profile without a name lives in memory alone; what Qt could still write is switched off one by one."""
    profile = QWebEngineProfile(parent)
    profile.setHttpCacheType(QWebEngineProfile.HttpCacheType.NoCache)
    profile.setPersistentCookiesPolicy(QWebEngineProfile.PersistentCookiesPolicy.NoPersistentCookies)
    profile.setPersistentPermissionsPolicy(QWebEngineProfile.PersistentPermissionsPolicy.AskEveryTime)
    profile.setSpellCheckEnabled(False)
    profile.setPushServiceEnabled(False)
    settings = profile.settings()
    attribute = QWebEngineSettings.WebAttribute
    for off in (
        attribute.JavascriptCanOpenWindows,
        attribute.JavascriptCanAccessClipboard,
        attribute.PluginsEnabled,
        attribute.PdfViewerEnabled,
        attribute.FullScreenSupportEnabled,
        attribute.ScreenCaptureEnabled,
        attribute.LocalContentCanAccessFileUrls,
        attribute.LocalContentCanAccessRemoteUrls,
        attribute.AllowRunningInsecureContent,
        attribute.DnsPrefetchEnabled,
        attribute.AutoLoadIconsForPage,
        attribute.ErrorPageEnabled,
        attribute.HyperlinkAuditingEnabled,
    ):
        settings.setAttribute(off, False)
    return profile


def _refuse_download(request: QWebEngineDownloadRequest) -> None:
    request.cancel()


def _refuse_permission(permission: QWebEnginePermission) -> None:
    permission.deny()
