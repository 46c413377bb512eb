package plugintest

// ViciousMain is the program "vicious".
var ViciousMain = viciousMain
