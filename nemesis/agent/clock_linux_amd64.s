#include "textflag.h"

// These functions are never called here. Their code is copied into another process, where it stands
// in for functions of the vDSO: it follows the calling convention of C, calls nothing but through
// the page whose address replaces PAGE, and ends with END, by which the copier knows its length.
// The layout of the page is in page_linux_amd64.go.

#define PAGE $0x7261667463686b01
#define END  BYTE $0x0f; BYTE $0x0b; BYTE $0x72; BYTE $0x63; BYTE $0x65; BYTE $0x6e; BYTE $0x64; BYTE $0x0b

// int clock_gettime(clockid_t clock, struct timespec *ts): reads the true clock, and then moves it
// along the line that the page has for this clock, if it has one. The generation is read before the
// true time and again after it, so that a time read before a change is never moved along the line
// that came with it: that could go back.
TEXT ·fakeClockGettime(SB), NOSPLIT|NOFRAME, $0-0
	PUSHQ BX
	PUSHQ R12
	PUSHQ R13
	MOVL  DI, R12
	MOVQ  SI, BX
	MOVQ  PAGE, R13
	SUBQ  $16, SP
again:
	MOVBLZX (R13), CX           // the generation: it says which block holds
	MOVL  CX, (SP)
	MOVL  R12, DI
	MOVQ  BX, SI
	MOVQ  0x08(R13), AX         // the displaced beginning of the original
	CALL  AX
	TESTL AX, AX
	JNE   out
	CMPL  R12, $12
	JCC   out                   // also what is below zero
	MOVL  (SP), CX
	MOVL  CX, R8
	ANDL  $1, R8
	SHLQ  $9, R8
	LEAQ  0x100(R13)(R8*1), R8
	MOVL  R12, DX
	SHLQ  $5, DX
	ADDQ  DX, R8                // its line: true time, shown time, rate from then on, and before
	MOVQ  16(R8), R9
	TESTQ R9, R9
	JEQ   right
	MOVQ  (BX), AX
	IMULQ $1000000000, AX
	ADDQ  8(BX), AX
	SUBQ  (R8), AX
	JGE   bent
	MOVQ  24(R8), R9
bent:
	IMULQ R9
	SHRQ  $32, DX, AX
	ADDQ  8(R8), AX
	MOVBLZX (R13), DX
	CMPL  DX, CX
	JNE   again                 // changed meanwhile: neither line is sure to suit this time
	CQO
	MOVQ  $1000000000, CX
	IDIVQ CX
	MOVQ  AX, (BX)
	MOVQ  DX, 8(BX)
right:
	XORL  AX, AX
out:
	ADDQ  $16, SP
	POPQ  R13
	POPQ  R12
	POPQ  BX
	RET
	END

// int gettimeofday(struct timeval *tv, struct timezone *tz)
TEXT ·fakeGettimeofday(SB), NOSPLIT|NOFRAME, $0-0
	PUSHQ BX
	PUSHQ R12
	SUBQ  $24, SP
	MOVQ  DI, BX
	MOVQ  SI, R12
	TESTQ BX, BX
	JEQ   zone
	XORL  DI, DI
	MOVQ  SP, SI
	MOVQ  PAGE, R11
	MOVQ  0x10(R11), AX         // fakeClockGettime
	CALL  AX
	MOVQ  (SP), AX
	MOVQ  AX, (BX)
	MOVQ  8(SP), AX
	XORL  DX, DX
	MOVL  $1000, CX
	DIVQ  CX
	MOVQ  AX, 8(BX)
zone:
	TESTQ R12, R12
	JEQ   done
	MOVQ  $0, (R12)
done:
	XORL  AX, AX
	ADDQ  $24, SP
	POPQ  R12
	POPQ  BX
	RET
	END

// time_t time(time_t *t)
TEXT ·fakeTime(SB), NOSPLIT|NOFRAME, $0-0
	PUSHQ BX
	SUBQ  $16, SP
	MOVQ  DI, BX
	XORL  DI, DI
	MOVQ  SP, SI
	MOVQ  PAGE, R11
	MOVQ  0x10(R11), AX
	CALL  AX
	MOVQ  (SP), AX
	TESTQ BX, BX
	JEQ   back
	MOVQ  AX, (BX)
back:
	ADDQ  $16, SP
	POPQ  BX
	RET
	END

// func codeAddrs() (clockGettime, gettimeofday, time uintptr)
TEXT ·codeAddrs(SB), NOSPLIT, $0-24
	LEAQ ·fakeClockGettime(SB), AX
	MOVQ AX, clockGettime+0(FP)
	LEAQ ·fakeGettimeofday(SB), AX
	MOVQ AX, gettimeofday+8(FP)
	LEAQ ·fakeTime(SB), AX
	MOVQ AX, time+16(FP)
	RET
