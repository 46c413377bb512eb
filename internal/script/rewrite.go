package script

import "go.starlark.net/syntax"

// Starlark bounds the steps of a program, and not what a step takes: "x" * 2**29
// is one, and so is doubling a list. So before a script is compiled, every
// operator and method that can make something large is put into a call of a
// function that books it. The names of those functions are no names of the
// language, so that no script can call or replace them.
const (
	guardCharge = "<charge>" // books its argument, which is new
	guardMul    = "<*>"
	guardMod    = "<%>"
	guardAddTo  = "<+=>"
	guardAddAt  = "<[]+=>"
	guardMethod = "<.>"
)

var guardAssigns = map[syntax.Token]syntax.Token{
	syntax.PLUS_EQ: syntax.PLUS, syntax.STAR_EQ: syntax.STAR, syntax.PERCENT_EQ: syntax.PERCENT,
	syntax.PIPE_EQ: syntax.PIPE, syntax.LTLT_EQ: syntax.LTLT,
}

// rewrite puts the guards into a file.
func rewrite(f *syntax.File) { rewriteStmts(f.Stmts) }

func rewriteStmts(list []syntax.Stmt) {
	for i := range list {
		list[i] = rewriteStmt(list[i])
	}
}

func rewriteStmt(s syntax.Stmt) syntax.Stmt {
	switch s := s.(type) {
	case *syntax.ExprStmt:
		s.X = guarded(s.X)
	case *syntax.IfStmt:
		s.Cond = guarded(s.Cond)
		rewriteStmts(s.True)
		rewriteStmts(s.False)
	case *syntax.AssignStmt:
		return rewriteAssign(s)
	case *syntax.DefStmt:
		guardedList(s.Params)
		rewriteStmts(s.Body)
	case *syntax.ForStmt:
		s.X = guarded(s.X)
		rewriteStmts(s.Body)
	case *syntax.WhileStmt:
		s.Cond = guarded(s.Cond)
		rewriteStmts(s.Body)
	case *syntax.ReturnStmt:
		if s.Result != nil {
			s.Result = guarded(s.Result)
		}
	}
	return s
}

// rewriteAssign makes x = <+=>(x, y) of x += y, and a call of a function that
// does all of it of a[i] += y, whose a and i are to be evaluated once.
func rewriteAssign(s *syntax.AssignStmt) syntax.Stmt {
	s.RHS = guarded(s.RHS)
	op, augments := guardAssigns[s.Op]
	if !augments {
		if i, ok := s.LHS.(*syntax.IndexExpr); ok {
			i.X, i.Y = guarded(i.X), guarded(i.Y)
		}
		return s
	}
	operator := &syntax.Literal{Token: syntax.STRING, TokenPos: s.OpPos, Raw: `"` + op.String() + `"`, Value: op.String()}
	switch lhs := unparen(s.LHS).(type) {
	case *syntax.Ident:
		read := &syntax.Ident{NamePos: lhs.NamePos, Name: lhs.Name}
		s.Op, s.LHS, s.RHS = syntax.EQ, lhs, guardCall(guardAddTo, s.OpPos, operator, read, s.RHS)
	case *syntax.IndexExpr:
		return &syntax.ExprStmt{X: guardCall(guardAddAt, s.OpPos, operator, guarded(lhs.X), guarded(lhs.Y), s.RHS)}
	}
	return s
}

func unparen(e syntax.Expr) syntax.Expr {
	for {
		p, ok := e.(*syntax.ParenExpr)
		if !ok {
			return e
		}
		e = p.X
	}
}

func guardedList(list []syntax.Expr) {
	for i := range list {
		list[i] = guarded(list[i])
	}
}

// guarded returns an expression with guards in it.
func guarded(e syntax.Expr) syntax.Expr {
	switch e := e.(type) {
	case *syntax.BinaryExpr:
		return guardedBinary(e)
	case *syntax.DotExpr:
		e.X = guarded(e.X)
		if _, ok := guardedMethods[e.Name.Name]; ok {
			name := &syntax.Literal{Token: syntax.STRING, TokenPos: e.NamePos, Raw: `"` + e.Name.Name + `"`, Value: e.Name.Name}
			return guardCall(guardMethod, e.Dot, e.X, name)
		}
	case *syntax.SliceExpr:
		return guardedSlice(e)
	case *syntax.CallExpr:
		e.Fn = guarded(e.Fn)
		guardedList(e.Args)
	case *syntax.IndexExpr:
		e.X, e.Y = guarded(e.X), guarded(e.Y)
	case *syntax.ParenExpr:
		e.X = guarded(e.X)
	case *syntax.UnaryExpr:
		if e.X != nil {
			e.X = guarded(e.X)
		}
	case *syntax.CondExpr:
		e.Cond, e.True, e.False = guarded(e.Cond), guarded(e.True), guarded(e.False)
	case *syntax.ListExpr:
		guardedList(e.List)
	case *syntax.TupleExpr:
		guardedList(e.List)
	case *syntax.DictExpr:
		guardedList(e.List)
	case *syntax.DictEntry:
		e.Key, e.Value = guarded(e.Key), guarded(e.Value)
	case *syntax.LambdaExpr:
		guardedList(e.Params)
		e.Body = guarded(e.Body)
	case *syntax.Comprehension:
		guardComprehension(e)
	}
	return e
}

func guardComprehension(e *syntax.Comprehension) {
	e.Body = guarded(e.Body)
	for _, clause := range e.Clauses {
		switch c := clause.(type) {
		case *syntax.ForClause:
			c.X = guarded(c.X)
		case *syntax.IfClause:
			c.Cond = guarded(c.Cond)
		}
	}
}

func guardedBinary(e *syntax.BinaryExpr) syntax.Expr {
	e.X, e.Y = guarded(e.X), guarded(e.Y)
	switch e.Op {
	case syntax.PLUS:
		if !isInt(e.X) && !isInt(e.Y) { // with one it is a number or an error
			return guardCall(guardCharge, e.OpPos, e)
		}
	case syntax.PIPE, syntax.LTLT:
		return guardCall(guardCharge, e.OpPos, e)
	case syntax.STAR:
		return guardCall(guardMul, e.OpPos, e.X, e.Y)
	case syntax.PERCENT:
		if !isInt(e.Y) { // with one it is a number, or one number in a text
			return guardCall(guardMod, e.OpPos, e.X, e.Y)
		}
	}
	return e
}

func isInt(e syntax.Expr) bool {
	l, ok := e.(*syntax.Literal)
	return ok && l.Token == syntax.INT
}

func guardedSlice(e *syntax.SliceExpr) syntax.Expr {
	e.X = guarded(e.X)
	for _, part := range []*syntax.Expr{&e.Lo, &e.Hi, &e.Step} {
		if *part != nil {
			*part = guarded(*part)
		}
	}
	return guardCall(guardCharge, e.Lbrack, e)
}

func guardCall(name string, pos syntax.Position, args ...syntax.Expr) syntax.Expr {
	return &syntax.CallExpr{Fn: &syntax.Ident{NamePos: pos, Name: name}, Lparen: pos, Args: args, Rparen: pos}
}
