#!/usr/bin/env python3
"""Lets in whoever knows the password, with the topics below the own client identifier."""

import hmac
from dataclasses import dataclass

import gatehouse


@dataclass
class Config:
    password: str = gatehouse.option("sesame", "the word that lets clients in")
    banned: list[str] = gatehouse.option([], "client identifiers that stay outside")


class Door(gatehouse.Plugin):
    name = "python-validator"
    version = "1.0.0"
    summary = "lets in whoever knows the password"
    Config = Config

    def start(self):
        if not self.config.password:
            raise gatehouse.ConfigError("must not be empty: everybody would know it", "/password")
        self.log.info("the door is open", extra={"banned": len(self.config.banned)})

    def validate(self, connect):
        if connect.client_id in self.config.banned:
            return gatehouse.deny(gatehouse.BANNED, "not you")
        if not hmac.compare_digest(connect.password, self.config.password.encode()):
            return gatehouse.deny(gatehouse.BAD_USER_NAME_OR_PASSWORD, "say the word")
        return gatehouse.allow(gatehouse.grant("home/%c/#"))


if __name__ == "__main__":
    gatehouse.serve(Door)
