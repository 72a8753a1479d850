"""django-oauth-toolkit: the values of OAUTH2_PROVIDER in its tests, which its source distribution does not contain."""

from django.conf import settings

READ_WRITE = {"read": "Reading scope", "write": "Writing scope"}
OPENID = {**READ_WRITE, "openid": "OpenID connect"}

DEFAULT_SCOPES_RW = {"DEFAULT_SCOPES": ["read", "write"]}
DEFAULT_SCOPES_RO = {"DEFAULT_SCOPES": ["read"]}
OIDC_SETTINGS_RW = {
    **DEFAULT_SCOPES_RW,
    "OIDC_ENABLED": True,
    "OIDC_ISS_ENDPOINT": "http://localhost/o",
    "OIDC_USERINFO_ENDPOINT": "http://localhost/o/userinfo/",
    "OIDC_RSA_PRIVATE_KEY": settings.OIDC_RSA_PRIVATE_KEY,
    "OIDC_RSA_PRIVATE_KEYS_INACTIVE": settings.OIDC_RSA_PRIVATE_KEYS_INACTIVE,
    "SCOPES": OPENID,
    "PKCE_REQUIRED": False,
    "REFRESH_TOKEN_EXPIRE_SECONDS": 3600,
}
OIDC_SETTINGS_RO = {**OIDC_SETTINGS_RW, **DEFAULT_SCOPES_RO}
OIDC_SETTINGS_EMAIL_SCOPE = {**OIDC_SETTINGS_RW, "SCOPES": {**OPENID, "email": "return email address"}}
OIDC_SETTINGS_HS256_ONLY = {key: value for key, value in OIDC_SETTINGS_RW.items() if key != "OIDC_RSA_PRIVATE_KEY"}
OIDC_SETTINGS_RP_LOGOUT = {
    **OIDC_SETTINGS_RW,
    "OIDC_RP_INITIATED_LOGOUT_ENABLED": True,
    "OIDC_RP_INITIATED_LOGOUT_ALWAYS_PROMPT": False,
}
OIDC_SETTINGS_RP_LOGOUT_STRICT_REDIRECT_URI = {
    **OIDC_SETTINGS_RP_LOGOUT,
    "OIDC_RP_INITIATED_LOGOUT_STRICT_REDIRECT_URIS": True,
}
OIDC_SETTINGS_RP_LOGOUT_DENY_EXPIRED = {
    **OIDC_SETTINGS_RP_LOGOUT,
    "OIDC_RP_INITIATED_LOGOUT_ACCEPT_EXPIRED_TOKENS": False,
}
OIDC_SETTINGS_RP_LOGOUT_KEEP_TOKENS = {**OIDC_SETTINGS_RP_LOGOUT, "OIDC_RP_INITIATED_LOGOUT_DELETE_TOKENS": False}
OIDC_SETTINGS_RP_REGISTRATION = {
    **OIDC_SETTINGS_RW,
    "OIDC_RP_INITIATED_REGISTRATION_ENABLED": True,
    "OIDC_RP_INITIATED_REGISTRATION_URL": "http://testserver/register/",
}
DCR_SETTINGS = {
    "DCR_ENABLED": True,
    "DCR_REGISTRATION_PERMISSION_CLASSES": ("oauth2_provider.dcr.IsAuthenticatedDCRPermission",),
}
REST_FRAMEWORK_SCOPES = {
    "SCOPES": {
        "read": "Read scope",
        "write": "Write scope",
        "scope1": "Scope 1",
        "scope2": "Scope 2",
        "resource1": "Resource 1",
    }
}
INTROSPECTION_SETTINGS = {
    "SCOPES": {
        "read": "Read scope",
        "write": "Write scope",
        "introspection": "Introspection scope",
        "dolphin": "eek eek eek scope",
    },
    "RESOURCE_SERVER_INTROSPECTION_URL": "http://example.org/introspection",
    "READ_SCOPE": "read",
    "WRITE_SCOPE": "write",
}
ALLOWED_SCHEMES_DEFAULT = {"ALLOWED_SCHEMES": ["https"]}
ALLOWED_SCHEMES_HTTP = {"ALLOWED_SCHEMES": ["https", "http"]}
