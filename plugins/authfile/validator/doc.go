// Package validator is the authfile plugin: it decides who may connect by a
// users file (see package users) and follows changes of that file.
//
// [Plugin] describes it to pluginapi.Serve. Inside, [Authfile] is the running
// plugin with its configuration, its watcher and its health; the decisions are
// made by a judge, which has the rules of one moment and neither file nor
// goroutine; the gate lets only so many password checks run at once; the
// refusal log says why somebody was turned away, and not too often.
package validator
