package main

var brokenPlugins = map[string]func(){}
